"""`weights.py BASE FOLDER`: adapters of BASE with random weights, what PEFT itself says of them, and a model that vLLM cannot compute.

Writes FOLDER/one, two and three, of ranks 8, 8 and 16; FOLDER/narrow, whose heads have 40 numbers, which no kernel of vLLM's
build for CPUs knows; FOLDER/scores.json: by model, the log-probabilities of the tokens of " the river of Ardo" after tokens 2 to 9.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

source, folder = sys.argv[1], Path(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(source)
prompt, continuation = list(range(2, 10)), tokenizer.encode(" the river of Ardo", add_special_tokens=False)


def base():
    return AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)


def scores(model):
    with torch.no_grad():
        logprobs = model(input_ids=torch.tensor([prompt + continuation])).logits[0].log_softmax(-1)
    return [logprobs[len(prompt) + i - 1, token].item() for i, token in enumerate(continuation)]


said = {"base": scores(base())}
for seed, (name, rank) in enumerate({"one": 8, "two": 8, "three": 16}.items()):
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(base(), config).save_pretrained(folder / name)
    said[name] = scores(PeftModel.from_pretrained(base(), folder / name))
(folder / "scores.json").write_text(json.dumps(said))

narrow = LlamaConfig(
    vocab_size=len(tokenizer), hidden_size=160, num_attention_heads=4, num_hidden_layers=1, intermediate_size=64, max_position_embeddings=64
)
LlamaForCausalLM(narrow).save_pretrained(folder / "narrow")
tokenizer.save_pretrained(folder / "narrow")
