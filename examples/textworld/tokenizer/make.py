"""Makes the tokenizer of the text world, a byte-level BPE of 1,280 tokens, from rows {"text"} on standard input.

    node examples/textworld/tokenizer/text.ts | python examples/textworld/tokenizer/make.py
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PAD, END, DOCUMENT, *ROLES = ["<|pad|>", "<|end|>", "<|doc|>", "<|user|>", "<|assistant|>", "<|system|>"]

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- endif -%}"""

tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train_from_iterator(
    [json.loads(line)["text"] for line in sys.stdin],
    trainers.BpeTrainer(
        vocab_size=1280,
        special_tokens=[PAD, END, DOCUMENT, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    ),
)
tokenizer.post_processor = processors.TemplateProcessing(
    single=f"{DOCUMENT} $A", special_tokens=[(DOCUMENT, tokenizer.token_to_id(DOCUMENT))]
)
PreTrainedTokenizerFast(
    tokenizer_object=tokenizer,
    bos_token=DOCUMENT,
    eos_token=END,
    pad_token=PAD,
    additional_special_tokens=ROLES,
    chat_template=CHAT_TEMPLATE,
    model_max_length=256,
    clean_up_tokenization_spaces=False,
).save_pretrained(Path(__file__).parent)
