"""Spec files: JSON with camelCase keys, read into frozen dataclasses. Unknown keys and wrong types are refused."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from .exits import Exit, Refusal


@dataclass(frozen=True)
class Architecture:
    """The shape of a new Llama. `context` is in tokens, `std` is the initializer range."""

    hidden_size: int
    layers: int
    heads: int
    head_size: int
    kv_heads: int
    mlp: int
    context: int
    tied: bool
    std: float


@dataclass(frozen=True)
class Init:
    """A new model: its architecture, the folder of its tokenizer, and the seed of its weights."""

    architecture: Architecture
    tokenizer: str
    seed: int


@dataclass(frozen=True)
class Rate:
    """The learning rate after the warm-up (`from`) and at the last step (`to`)."""

    from_: float
    to: float


@dataclass(frozen=True)
class Lora:
    """A LoRA adapter, scaled by alpha / rank. `targets` names linear layers; None means all except the LM head."""

    rank: int
    alpha: float
    targets: list[str] | None
    dropout: float

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise _invalid("lora.rank", "must be at least 1")
        if self.alpha <= 0:
            raise _invalid("lora.alpha", "must be above 0")
        if not 0 <= self.dropout < 1:
            raise _invalid("lora.dropout", "must be from 0 to below 1")


@dataclass(frozen=True)
class TrainSpec:
    """One training run.

    `warmup` is a share of the steps, `checkpoint_every` counts steps, `max_tokens` is per row, `batch` is the global
    batch size in rows, over all devices.

    `from` is the folder of a full model, or of a LoRA adapter for `base`. With `adapter` "continue" the run trains that
    adapter further; with "merge" it merges adapter and base first. Without `lora` it trains all weights.

    `rows` is the number of rows of `data` that `steps` was computed for (None: all). If the trainer keeps another
    number, it writes the refused rows to `refused.jsonl` in `run` and ends. `too_long` says whether to cut a row of more
    than `max_tokens`, or to refuse it.

    `beta` and `reference` are for preference objectives: the strength of the KL penalty, and the reference model
    (None: the model of `from`).
    """

    version: Literal[1]
    objective: Literal["sft", "lm", "dpo", "token-dpo", "tagger"]
    from_: str | None
    base: str | None
    init: Init | None
    lora: Lora | None
    adapter: Literal["continue", "merge"]
    data: str
    run: str
    seed: int
    steps: int
    batch: int
    max_tokens: int
    learning_rate: Rate
    schedule: Literal["linear", "cosine"]
    warmup: float
    weight_decay: float
    betas: tuple[float, float]
    clip: float | None
    dropout: float
    optimizer: Literal["adamw", "muon"]
    checkpoint_every: int
    threads: int
    keep_checkpoints: int = 2
    rows: int | None = None
    too_long: Literal["drop", "truncate", "fail"] = "drop"
    beta: float | None = None
    reference: ModelFolders | None = None

    def __post_init__(self) -> None:
        if (self.from_ is None) == (self.init is None):
            raise _invalid("from", "exactly one of 'from' and 'init' must be set; set the other to null")
        if self.base is not None and self.from_ is None:
            raise _invalid("base", "goes with an adapter in 'from'; set it to null")
        if self.lora is not None and self.init is not None:
            raise _invalid("lora", "needs weights to adapt, and 'init' has none yet; set it to null")
        if self.base is not None and self.lora is None and self.adapter == "continue":
            raise _invalid("adapter", "must be 'merge' where all weights are trained; or set 'lora' to the adapter's own")
        if not 0 <= self.warmup <= 1:
            raise _invalid("warmup", "must be a share of the steps, 0 to 1")
        if not 0 <= self.dropout < 1:
            raise _invalid("dropout", "must be from 0 to below 1")
        for key in ("steps", "batch", "checkpoint_every", "keep_checkpoints", "threads"):
            if getattr(self, key) < 1:
                raise _invalid(_camel(key), "must be at least 1")
        if not 0 <= self.seed < 1 << 32:
            raise _invalid("seed", "must be from 0 to 4294967295, which all generators take")
        if (self.beta is not None) != self.is_preference:
            raise _invalid("beta", "goes with the objectives 'dpo' and 'token-dpo', and they need it")
        if self.beta is not None and self.beta <= 0:
            raise _invalid("beta", "must be above 0")
        if self.reference is not None and not self.is_preference:
            raise _invalid("reference", "goes with the objectives 'dpo' and 'token-dpo'; set it to null")
        if self.max_tokens < 2:
            raise _invalid("maxTokens", "must be at least 2: one token predicts the next")
        for key, value in (("init", self.init), ("base", self.base), ("lora", self.lora)):
            if self.objective == "tagger" and value is not None:
                raise _invalid(key, "must be null for a tagger, which trains all weights of an encoder in 'from'")

    @property
    def is_preference(self) -> bool:
        return self.objective in ("dpo", "token-dpo")


@dataclass(frozen=True)
class EmbedSpec:
    """Texts to embed: `rows` is a JSONL file of `{"texts": [...]}`.

    `batch` counts texts, `max_tokens` is per text, `picks` counts rows to select by farthest-first traversal.
    """

    version: Literal[1]
    model: ModelFolders
    rows: str
    run: str
    clusters: int
    seed: int
    max_tokens: int
    threads: int
    picks: int | None = None
    batch: int = 32

    def __post_init__(self) -> None:
        for key in ("clusters", "max_tokens", "threads", "picks", "batch"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise _invalid(_camel(key), "must be at least 1")


@dataclass(frozen=True)
class ScoreSpec:
    """Continuations to score: `rows` is a JSONL file of `{"requests": [...]}`. `batch` counts sequences."""

    version: Literal[1]
    model: ModelFolders
    rows: str
    run: str
    threads: int
    batch: int = 32

    def __post_init__(self) -> None:
        for key in ("threads", "batch"):
            if getattr(self, key) < 1:
                raise _invalid(key, "must be at least 1")


@dataclass(frozen=True)
class TagSpec:
    """Sentences for a tagger: `rows` is a JSONL file of `{"tokens": [...]}`, each a word. `batch` counts sentences."""

    version: Literal[1]
    tagger: str
    rows: str
    run: str
    threads: int
    batch: int = 32

    def __post_init__(self) -> None:
        for key in ("threads", "batch"):
            if getattr(self, key) < 1:
                raise _invalid(key, "must be at least 1")


@dataclass(frozen=True)
class MergeSpec:
    """Merges a LoRA adapter into `base` and writes the full model to the folder `to`."""

    version: Literal[1]
    adapter: str
    base: str
    to: str


@dataclass(frozen=True)
class ModelFolders:
    """The folder of a full model, or of a LoRA adapter and of its `base`."""

    folder: str
    base: str | None = None


@dataclass(frozen=True)
class ServeSpec:
    """One server. The keys of `models` are served names; `slots` sequences run at once in each model."""

    version: Literal[1]
    models: dict[str, ModelFolders]
    ready: str
    host: str = "127.0.0.1"
    port: int = 0
    slots: int = 64
    threads: int = 2
    access_log: str | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise _invalid("models", "names no model; give at least one served name and its folder")
        for key in ("slots", "threads"):
            if getattr(self, key) < 1:
                raise _invalid(key, "must be at least 1")


def read_spec(path: str, cls: type) -> Any:
    """The dataclass `cls` that the JSON file at `path` describes. Raises Refusal 64, naming the key and the remedy."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError) as error:
        raise Refusal(Exit.SPEC, f"Cannot read the spec {path}: {error}. Give a JSON file.") from error
    return _read(value, cls, "")


def read_models(value: Any) -> dict[str, ModelFolders]:
    """`models` of a ServeSpec. Raises Refusal 64, naming the key and the remedy."""
    return _read(value, dict[str, ModelFolders], "models")


def _read(value: Any, kind: Any, key: str) -> Any:
    """`value` as `kind` (a dataclass, a union, a Literal, tuple, list, dict, or a plain type), or Refusal 64."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _read(value, arguments[0], key)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise _invalid(key, f"must be one of {', '.join(map(json.dumps, arguments))}, not {json.dumps(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(arguments):
            raise _invalid(key, f"must be a list of {len(arguments)} numbers")
        return tuple(_read(item, of, f"{key}[{index}]") for index, (item, of) in enumerate(zip(value, arguments)))
    if origin is list:
        if not isinstance(value, list):
            raise _invalid(key, "must be a list")
        return [_read(item, arguments[0], f"{key}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _invalid(key, "must be an object")
        return {name: _read(item, arguments[1], f"{key}.{name}") for name, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _read_object(value, kind, key)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        names = {int: "an integer", float: "a finite number", str: "a string", bool: "true or false"}
        raise _invalid(key, f"must be {names[kind]}, not {json.dumps(value)}")
    return value


def _read_object(value: Any, cls: type, key: str) -> Any:
    if not isinstance(value, dict):
        raise _invalid(key or "the spec", "must be an object")
    hints = typing.get_type_hints(cls)
    known = {_camel(item.name): item for item in dataclasses.fields(cls)}
    inside = f"{key}." if key else ""
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise _invalid(
                inside + name,
                f"is unknown; did you mean '{near[0]}'?" if near else f"is unknown; the keys are {', '.join(known)}",
            )
    for name, item in known.items():
        if name not in value and item.default is dataclasses.MISSING:
            raise _invalid(inside + name, "is missing; add it")
    return cls(
        **{known[name].name: _read(item, hints[known[name].name], inside + name) for name, item in value.items()}
    )


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name).rstrip("_")


def _invalid(key: str, remedy: str) -> Refusal:
    return Refusal(Exit.SPEC, f"Spec key '{key}' {remedy}.")
