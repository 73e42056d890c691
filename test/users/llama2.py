"""Writes a small random model in the form of Llama 2's chat models to FOLDER: a tokenizer of the SentencePiece kind, which puts a space before
every text, a chat template that opens an answer with [/INST], weights in several shards, and a temperature without `do_sample`.
llama2.py FOLDER TEXT..."""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

folder, texts = Path(sys.argv[1]), [Path(name).read_text() for name in sys.argv[2:]]
TEMPLATE = """\
{%- set system = messages[0].content if messages[0].role == 'system' else none -%}
{%- for message in (messages if system is none else messages[1:]) -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('user and assistant must take turns') -}}
{%- endif -%}
{%- if message.role == 'user' -%}
{{- bos_token + '[INST] ' -}}
{%- if loop.first and system is not none -%}{{- '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' -}}{%- endif -%}
{{- message.content + ' [/INST]' -}}
{%- else -%}
{{- ' ' + message.content + ' ' + eos_token -}}
{%- endif -%}
{%- endfor -%}"""

special = ["<unk>", "<s>", "</s>"]
own = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
own.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
own.decoder = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)
words = [f" {word}" for text in texts for word in text.split()]
own.train_from_iterator(
    words,
    trainers.BpeTrainer(
        vocab_size=800, special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))], show_progress=False
    ),
)
own.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", own.token_to_id("<s>"))])
tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
tokenizer.chat_template = TEMPLATE
tokenizer.save_pretrained(folder)
config = json.loads((folder / "tokenizer_config.json").read_text())
(folder / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "LlamaTokenizer", "legacy": False}))

torch.manual_seed(0)
shape = LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=64,
    intermediate_size=176,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=4096,
    bos_token_id=tokenizer.bos_token_id,
    eos_token_id=tokenizer.eos_token_id,
    tie_word_embeddings=False,
)
LlamaForCausalLM(shape).to(torch.float16).save_pretrained(folder, max_shard_size="100KB")
generation = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "temperature": 0.6, "top_p": 0.9}
(folder / "generation_config.json").write_text(json.dumps(generation))
