"""What the tests train and serve: a tokenizer, tiny models, a few rows, and ways to run the verbs as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

SPECIAL = ["<|pad|>", "<|end|>", "<|doc|>", "<|user|>", "<|assistant|>", "<|system|>"]
TURN = "{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}"
OPEN = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
UNTHINKING = "{% if enable_thinking is defined and not enable_thinking %}no thought. {% endif %}"
TEMPLATE = "{% for m in messages %}" + TURN + "{% endfor %}" + OPEN + UNTHINKING
TEXTS = [
    f"The {kind} of {name} is {what}."
    for kind in ("river", "town", "ship")
    for name in ("Ardo", "Belu", "Cimo")
    for what in ("old", "blue", "far")
]
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
PACKAGE = Path(__file__).parents[1]


def make_tokenizer(
    folder: Path,
    texts: list[str] = TEXTS,
    vocabulary: int = 300,
    template: str | None = TEMPLATE,
    special: Iterable[str] = (),
) -> None:
    """`special` are control tokens beside SPECIAL."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=[*SPECIAL, *special], initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|doc|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def make_model(
    folder: Path, *, seed: int = 0, tied: bool = True, kv_heads: int = 2, std: float = 0.2, context: int = 96, **shape
) -> Path:
    """A Llama of random weights, wide enough spread that its next token is far from uniform."""
    make_tokenizer(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        **{
            "vocab_size": 300,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": kv_heads,
            "head_dim": 16,
            "max_position_embeddings": context,
            "initializer_range": std,
            "tie_word_embeddings": tied,
            "bos_token_id": 2,
            "eos_token_id": 1,
            "pad_token_id": 0,
            **shape,
        }
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_encoder(folder: Path, words: list[str], special: bool = True) -> Path:
    """A BERT of random weights and of 24 positions, with the tokenizer of `make_encoder_tokenizer`."""
    vocabulary = make_encoder_tokenizer(folder, words, special)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    rest = {"vocab_size": vocabulary, "max_position_embeddings": 24, "initializer_range": 0.2}
    BertModel(BertConfig(**shape, **rest)).save_pretrained(folder)
    return folder


def make_encoder_tokenizer(folder: Path, words: list[str], special: bool = True) -> int:
    """Knows `words`; it has neither end token nor chat template, and without `special` no padding either, and gives an
    empty text no tokens. Returns the size of its vocabulary."""
    vocabulary = {word: at for at, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "[PAD]", *sorted(set(words))])}
    pieces = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=False)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if special:
        pieces.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"} if special else {}
    PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="[UNK]", **names).save_pretrained(folder)
    return len(vocabulary)


def make_adapter(base: Path, folder: Path, *, seed: int, targets: tuple[str, ...], **config) -> Path:
    """An adapter of random weights, as PEFT saves it."""
    torch.manual_seed(seed)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=list(targets), init_lora_weights=False, **config)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora).save_pretrained(folder)
    return folder


def write_rows(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def chat_rows(count: int = 24) -> list[dict]:
    return [
        {
            "messages": [
                {"role": "system", "content": "Answer."},
                {"role": "user", "content": f"Which {index}?"},
                {"role": "assistant", "content": TEXTS[index % len(TEXTS)]},
            ]
        }
        for index in range(count)
    ]


def train_spec(model: Path | None, data: str, run: Path, **changes) -> dict:
    return {
        "version": 1,
        "objective": "sft",
        "from": None if model is None else str(model),
        "base": None,
        "init": None,
        "lora": None,
        "adapter": "merge",
        "data": data,
        "run": str(run),
        "seed": 1,
        "steps": 6,
        "batch": 4,
        "maxTokens": 64,
        "learningRate": {"from": 1e-3, "to": 1e-4},
        "schedule": "linear",
        "warmup": 0.0,
        "weightDecay": 0.01,
        "betas": [0.9, 0.98],
        "clip": 1.0,
        "dropout": 0.0,
        "optimizer": "adamw",
        "checkpointEvery": 2,
        "threads": 1,
        **changes,
    }


def start(verb: str, spec: dict, path: Path, processes: int = 1, **environment: str) -> subprocess.Popen:
    """The verb in a child process, with stderr in `PATH.log`; `processes` of them as `accelerate launch` does it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spec))
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), **environment}
    launcher = f"accelerate.commands.launch --multi_gpu --num_processes {processes} --num_machines 1".split()
    options = "--mixed_precision no --dynamo_backend no --main_process_port 0 --module".split()
    module = [*launcher, *options, "backspin_trainer"] if processes > 1 else ["backspin_trainer"]
    with open(f"{path}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *module, verb, "--spec", str(path)],
            stderr=log,
            stdout=subprocess.PIPE,
            env=environment,
        )


def events(run: Path) -> list[dict]:
    path = run / "events.jsonl"
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def wait_for(process: subprocess.Popen, happened) -> None:
    """Returns when `happened()` is true; fails when the process ends before."""
    while not happened():
        try:
            code = process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the process ended with {code} before it happened")
