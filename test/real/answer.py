"""`answer.py MODEL BASE`: loads an exported model with Transformers and lets it answer. Prints what it says, and whether it has learnt:
whether any of its weights differs from those of BASE."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, base = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
question = [{"role": "user", "content": "Why do cats purr?"}]
prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
reply = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0, prompt["input_ids"].shape[1] :]
before, now = load_file(Path(base) / "model.safetensors"), model.state_dict()
said = {
    "text": tokenizer.decode(reply, skip_special_tokens=True),
    "learnt": any(not torch.equal(now[name], weight.float()) for name, weight in before.items()),
}
print(json.dumps(said))
