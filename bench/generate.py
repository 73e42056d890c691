"""`python generate.py JOB`: generates greedy answers with transformers alone, in batches of prompts of similar length."""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

with open(sys.argv[1]) as file:
    job = json.load(file)
torch.set_num_threads(job["threads"])
tokenizer = AutoTokenizer.from_pretrained(job["folder"], padding_side="left")
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
model = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32).eval()


@torch.inference_mode()
def answers(prompts: list[str]) -> list[list[int]]:
    """Returns the tokens of each answer, without end token and padding."""
    inputs = tokenizer(prompts, return_tensors="pt", padding=True)
    whole = model.generate(**inputs, do_sample=False, max_new_tokens=job["mostTokens"], pad_token_id=tokenizer.pad_token_id)
    rows = whole[:, inputs["input_ids"].shape[1] :].tolist()
    end = tokenizer.eos_token_id
    return [row[: row.index(end)] if end in row else row for row in rows]


prompts = job["prompts"]
answers(prompts[: job["batch"]])
order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
tokens: list[list[int]] = [[]] * len(prompts)
began = time.monotonic()
for first in range(0, len(order), job["batch"]):
    batch = order[first : first + job["batch"]]
    for i, answer in zip(batch, answers([prompts[i] for i in batch])):
        tokens[i] = answer
seconds = time.monotonic() - began
texts = [tokenizer.decode(answer, skip_special_tokens=True) for answer in tokens]
print(json.dumps({"seconds": seconds, "tokens": sum(map(len, tokens)), "texts": texts}))
