"""Writes a small random model of a kind of transformers, with the text world's tokenizer and ChatML's end of turn.
random-model.py KIND TEMPLATE TOKENIZER FOLDER, such as random-model.py Qwen3 chat.jinja examples/textworld/tokenizer out"""

import sys
from pathlib import Path

import torch
import transformers
from transformers import PreTrainedTokenizerFast

kind, template, source, folder = sys.argv[1:]
tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{source}/tokenizer.json")
tokenizer.add_special_tokens(
    {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "additional_special_tokens": ["<|im_start|>"]}
)
tokenizer.chat_template = Path(template).read_text()
tokenizer.save_pretrained(folder)
config = getattr(transformers, f"{kind}Config")(
    vocab_size=len(tokenizer),
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=4096,
    bos_token_id=None,
    eos_token_id=tokenizer.eos_token_id,
    pad_token_id=tokenizer.pad_token_id,
)
torch.manual_seed(0)
model = getattr(transformers, f"{kind}ForCausalLM")(config)
model.save_pretrained(folder)
