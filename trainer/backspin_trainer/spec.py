"""Spec files: JSON with camelCase keys. Unknown keys and wrong types are refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from .exits import Exit, Refusal
from .objects import camel, invalid, read


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
    """The learning rate after the warm-up (`from`) and at the last step (`to`; None: it is 0 after the last step)."""

    from_: float
    to: float | None


@dataclass(frozen=True)
class Lora:
    """A LoRA adapter, scaled by alpha / rank. `targets` names linear layers; None means all except the LM head."""

    rank: int
    alpha: float
    targets: list[str] | None
    dropout: float

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise invalid("lora.rank", "must be at least 1")
        if self.alpha <= 0:
            raise invalid("lora.alpha", "must be above 0")
        if not 0 <= self.dropout < 1:
            raise invalid("lora.dropout", "must be from 0 to below 1")


@dataclass(frozen=True)
class Evaluation:
    """Measures the loss of the held-out rows every `every` steps and after the last one. After `patience` measurements
    without a lower loss the run ends, and its model is that of the lowest one (None: it runs to its last step)."""

    every: int
    patience: int | None

    def __post_init__(self) -> None:
        for key in ("every", "patience"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise invalid(f"evaluate.{key}", "must be at least 1")


@dataclass(frozen=True)
class TrainSpec:
    """One training run.

    `warmup` is a share of the steps, `max_tokens` is per row, `batch` is the global batch size in rows, over all devices.
    `micro_batch` is the most rows that a device computes at once (None: its share of the batch); the gradients of several
    micro-batches add up to those of the batch. `shard` "fsdp2" divides weights, gradients and optimizer state among the
    devices; with "none" each device has all of them.

    The run writes a checkpoint every `checkpoint_every` steps, and whenever the last one is `checkpoint_seconds` old.

    `from` is the folder of a full model, or of a LoRA adapter for `base`. With `adapter` "continue" the run trains that
    adapter further; with "merge" it merges adapter and base first. Without `lora` it trains all weights.

    `rows` is the number of rows of `data` that `steps` was computed for (None: all). If the trainer keeps another
    number, it writes the refused rows to `refused.jsonl` in `run` and ends. `too_long` says whether to cut a row of more
    than `max_tokens`, or to refuse it.

    `packing` computes the rows of a micro-batch as one sequence without padding, in which rows do not see each other.
    `quantization` is that of the frozen base of an adapter while it is trained. What options need is in `options`.
    `deterministic` asks PyTorch for algorithms that give the same bits again on CUDA devices.

    With `evaluate`, rows with `"heldOut": true` are not trained on: the run measures their loss.

    `beta`, `loss`, `gamma`, `sft` and `reference` are for preference objectives: the strength of the KL penalty (of "simpo" the
    scale of rewards, of "orpo" the share of the odds ratio), the loss of a margin, the target margin of "simpo", the share
    of the SFT loss of the chosen answers, and the reference model (None: the model of `from`). "kto" has `beta` and `reference`.
    """

    version: Literal[1]
    objective: Literal["sft", "lm", "dpo", "token-dpo", "kto", "tagger"]
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
    optimizer: Literal["adamw", "adamw-8bit", "muon"]
    checkpoint_every: int
    threads: int
    keep_checkpoints: int = 2
    checkpoint_seconds: float = 600.0
    micro_batch: int | None = None
    shard: Literal["none", "fsdp2"] = "none"
    rows: int | None = None
    too_long: Literal["drop", "truncate", "fail"] = "drop"
    beta: float | None = None
    reference: ModelFolders | None = None
    evaluate: Evaluation | None = None
    loss: Literal["sigmoid", "ipo", "orpo", "simpo"] = "sigmoid"
    gamma: float | None = None
    sft: float = 0.0
    quantization: Literal["none", "nf4"] = "none"
    attention: Literal["sdpa", "flash-attention-2", "flash-attention-3"] = "sdpa"
    packing: bool = False
    liger: bool = False
    deterministic: bool = False

    def __post_init__(self) -> None:
        if (self.from_ is None) == (self.init is None):
            raise invalid("from", "exactly one of 'from' and 'init' must be set; set the other to null")
        if self.base is not None and self.from_ is None:
            raise invalid("base", "goes with an adapter in 'from'; set it to null")
        if self.lora is not None and self.init is not None:
            raise invalid("lora", "needs weights to adapt, and 'init' has none yet; set it to null")
        if self.base is not None and self.lora is None and self.adapter == "continue":
            raise invalid("adapter", "must be 'merge' where all weights are trained; or set 'lora' to the adapter's own")
        if not 0 <= self.warmup <= 1:
            raise invalid("warmup", "must be a share of the steps, 0 to 1")
        if not 0 <= self.dropout < 1:
            raise invalid("dropout", "must be from 0 to below 1")
        for key in ("steps", "batch", "micro_batch", "checkpoint_every", "keep_checkpoints", "threads"):
            if (value := getattr(self, key)) is not None and value < 1:
                raise invalid(camel(key), "must be at least 1")
        if not 0 <= self.seed < 1 << 32:
            raise invalid("seed", "must be from 0 to 4294967295, which all generators take")
        if (self.beta is not None) != (self.is_preference or self.objective == "kto"):
            raise invalid("beta", "goes with the objectives 'dpo', 'token-dpo' and 'kto', and they need it")
        if self.beta is not None and self.beta <= 0:
            raise invalid("beta", "must be above 0")
        if self.loss != "sigmoid" and not self.is_preference:
            raise invalid("loss", "goes with the objectives 'dpo' and 'token-dpo'")
        if self.reference is not None and not self.has_reference:
            raise invalid("reference", "goes with 'kto', and with 'dpo' and 'token-dpo' and a loss that compares; set it to null")
        if (self.gamma is not None) != (self.loss == "simpo"):
            raise invalid("gamma", "goes with the loss 'simpo', which needs it")
        if self.sft < 0 or (self.sft > 0 and (not self.is_preference or self.loss == "orpo")):
            raise invalid("sft", "must be at least 0, and 0 but for preferences; 'orpo' has the whole SFT loss anyway")
        if self.max_tokens < 2:
            raise invalid("maxTokens", "must be at least 2: one token predicts the next")
        if self.shard == "fsdp2" and (self.optimizer == "muon" or self.objective == "tagger"):
            raise invalid("shard", "must be 'none' for the optimizer 'muon' and for taggers, which take whole matrices")
        if self.shard == "fsdp2" and (self.optimizer == "adamw-8bit" or self.quantization == "nf4"):
            raise invalid("shard", "must be 'none' for numbers of 8 and 4 bits, which bitsandbytes keeps whole")
        if self.quantization == "nf4" and self.lora is None:
            raise invalid("quantization", "goes with an adapter: set 'lora', since numbers of 4 bits cannot be trained")
        if self.packing and self.objective == "tagger":
            raise invalid("packing", "must be false for a tagger")
        for key, value in (("init", self.init), ("base", self.base), ("lora", self.lora)):
            if self.objective == "tagger" and value is not None:
                raise invalid(key, "must be null for a tagger, which trains all weights of an encoder in 'from'")

    @property
    def is_preference(self) -> bool:
        """Whether its rows are pairs of answers."""
        return self.objective in ("dpo", "token-dpo")

    @property
    def has_reference(self) -> bool:
        """Whether the loss compares the model with a reference model."""
        return self.objective == "kto" or (self.is_preference and self.loss in ("sigmoid", "ipo"))

    @property
    def sft_share(self) -> float:
        """The share of the loss that is SFT on the chosen answers, to the whole of which ORPO adds its odds ratio."""
        return 1.0 if self.loss == "orpo" else self.sft


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
                raise invalid(camel(key), "must be at least 1")


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
                raise invalid(key, "must be at least 1")


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
                raise invalid(key, "must be at least 1")


@dataclass(frozen=True)
class MergeSpec:
    """Merges a LoRA adapter into `base` and writes the full model to the folder `to`."""

    version: Literal[1]
    adapter: str
    base: str
    to: str


@dataclass(frozen=True)
class ConvertSpec:
    """Weights in PyTorch's pickle format (`files`, in order) to write as safetensors to the new folder `to`."""

    version: Literal[1]
    files: list[str]
    to: str


@dataclass(frozen=True)
class GgufSpec:
    """A GGUF `file` to write as a Hugging Face folder to the new folder `to`, or only its small files."""

    version: Literal[1]
    file: str
    to: str
    weights: bool = True


@dataclass(frozen=True)
class ModelUse:
    """What is done with a model. The settings are those of a TrainSpec; `max_tokens` and `objective` are for trainings."""

    verb: Literal["train", "serve", "score", "embed"]
    objective: Literal["sft", "lm", "dpo", "token-dpo", "kto", "tagger"] = "sft"
    max_tokens: int = 2
    dropout: float = 0.0
    lora: Lora | None = None
    optimizer: Literal["adamw", "adamw-8bit", "muon"] = "adamw"
    quantization: Literal["none", "nf4"] = "none"
    attention: Literal["sdpa", "flash-attention-2", "flash-attention-3"] = "sdpa"
    packing: bool = False
    liger: bool = False


@dataclass(frozen=True)
class CheckSpec:
    """A model to check for `uses`: the folder of a full model, whose weights may be missing, or a new one (`init`).

    `weights` names safetensors files in the folder. `chat_template` is a file that replaces the tokenizer's own, and
    `end_token` a token that ends turns beside those of the folder.
    """

    version: Literal[1]
    uses: list[ModelUse]
    to: str
    folder: str = ""
    init: Init | None = None
    weights: list[str] | None = None
    chat_template: str | None = None
    end_token: str | None = None

    def __post_init__(self) -> None:
        if (self.folder == "") == (self.init is None):
            raise invalid("folder", "exactly one of 'folder' and 'init' must be set")

    @property
    def tokenizer(self) -> str:
        return self.init.tokenizer if self.init else self.folder


@dataclass(frozen=True)
class HubSpec:
    """A repository of the Hugging Face Hub. Without `files` it is looked up: `revision` is a branch, a tag or a commit,
    and files that match the regular expression `small` are downloaded. With `files` these are downloaded.
    """

    version: Literal[1]
    kind: Literal["model", "dataset"]
    repository: str
    revision: str
    small: str = "$^"
    files: list[str] | None = None


@dataclass(frozen=True)
class ModelFolders:
    """The folder of a full model, or of a LoRA adapter and of its `base`."""

    folder: str
    base: str | None = None


MOST_SLOTS = 1024


@dataclass(frozen=True)
class ServeSpec:
    """One server. The keys of `models` are served names; `slots` sequences run at once in each model.

    `max_model_length` counts tokens of prompt and answer; None means the model's context.
    """

    version: Literal[1]
    models: dict[str, ModelFolders]
    ready: str
    host: str = "127.0.0.1"
    port: int = 0
    slots: int = 64
    threads: int = 2
    max_model_length: int | None = None
    access_log: str | None = None

    def __post_init__(self) -> None:
        if not self.models:
            raise invalid("models", "names no model; give at least one served name and its folder")
        for key in ("slots", "threads"):
            if getattr(self, key) < 1:
                raise invalid(key, "must be at least 1")
        if self.slots > MOST_SLOTS:
            raise invalid("slots", f"must be at most {MOST_SLOTS}: the embedded server computes all of them in one pass")
        if self.max_model_length is not None and self.max_model_length < 2:
            raise invalid("maxModelLength", "must be at least 2: a token of the prompt and one of the answer")


def read_spec(path: str, cls: type) -> Any:
    """The dataclass `cls` that the JSON file at `path` describes. Raises Refusal 64, naming the key and the remedy."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError) as error:
        raise Refusal(Exit.SPEC, f"Cannot read the spec {path}: {error}. Give a JSON file.") from error
    return read(value, cls, "")


def read_models(value: Any) -> dict[str, ModelFolders]:
    """`models` of a ServeSpec. Raises Refusal 64, naming the key and the remedy."""
    return read(value, dict[str, ModelFolders], "models")
