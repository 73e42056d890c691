"""Reads the weights of a Llama in fp32, and merges LoRA adapters into them in memory."""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from .exits import Exit, Refusal, first_line
from .quantization import check_files, check_stored
from .spec import ModelFolders


class ModelConfig(PreTrainedConfig):
    """The config.json of a Llama. LlamaConfig of Transformers is the same, but its import takes two seconds."""

    model_type = "llama"
    vocab_size: int = 32000
    hidden_size: int = 4096
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    rope_parameters: dict | None = None
    attention_bias: bool = False
    mlp_bias: bool = False

    def __post_init__(self, **rest):
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        super().__post_init__(**rest)


@dataclass(eq=False)
class Weights:
    """Tensors by name. An adapter shares the tensor objects of its base, except those that it changes."""

    folder: str
    config: ModelConfig
    tensors: dict[str, torch.Tensor]
    base: Weights | None = None


_SUPPORTED = {"peft_type": "LORA", "bias": "none"} | dict.fromkeys(
    ("use_dora", "use_rslora", "use_qalora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out")
)
_cache: weakref.WeakValueDictionary[ModelFolders, Weights] = weakref.WeakValueDictionary()


def read_weights(model: ModelFolders) -> Weights:
    """Reads weights, or returns those in use by another model or as the base of an adapter. Raises Refusal 66."""
    weights = _cache.get(model)
    if weights is None:
        folder, base = model.folder, model.base
        weights = _read(folder) if base is None else _adapt(read_weights(ModelFolders(base)), folder)
        _cache[model] = weights
    return weights


def _read(folder: str) -> Weights:
    config = read_config(folder)
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        tensors |= _load(path)
    _check_finite(folder, tensors)
    return Weights(folder, config, tensors)


def _adapt(base: Weights, folder: str) -> Weights:
    """W + (alpha / rank) B A, for each weight W that the adapter targets (Hu et al. 2021, LoRA, section 4.1)."""
    config = _read_adapter_config(folder)
    lora = _load(Path(folder) / "adapter_model.safetensors")
    scale = config["lora_alpha"] / config["r"]
    tensors = dict(base.tensors)
    for name, down in lora.items():
        if name.endswith(".lora_B.weight"):
            continue
        target = name.removeprefix("base_model.model.").replace(".lora_A.", ".")
        up = lora.get(name.replace(".lora_A.", ".lora_B."))
        if target not in tensors or up is None or tensors[target].shape != (len(up), down.shape[1]):
            raise Refusal(
                Exit.MODEL, f"The adapter in {folder} does not fit {base.folder}: its weight {name} has no place there."
            )
        tensors[target] = tensors[target] + up @ down * scale
    _check_finite(folder, tensors)
    return Weights(folder, base.config, tensors, base)


def _read_adapter_config(folder: str) -> dict:
    path = Path(folder) / "adapter_config.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Refusal(
            Exit.MODEL, f"No adapter in {folder}: adapter_config.json is missing or broken; give the whole folder."
        ) from error
    unsupported = [name for name, supported in _SUPPORTED.items() if (config.get(name) or supported) != supported]
    if unsupported:
        raise Refusal(
            Exit.MODEL,
            f"The adapter in {folder} has {', '.join(unsupported)}, which the embedded server lacks; "
            "serve it with vLLM.",
        )
    return config


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, "pt") as opened:
            formats = {name: opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
        check_stored(str(path.parent), formats)
        return {name: value.float() for name, value in load_file(path).items()}
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(Exit.MODEL, f"Cannot load weights from {path}: {first_line(error)}. Replace the file.") from error


def _check_finite(folder: str, tensors: dict[str, torch.Tensor]) -> None:
    if not all(value.isfinite().all() for value in tensors.values()):
        raise Refusal(Exit.MODEL, f"The model in {folder} has weights that are not finite; train it again.")


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, folder: str, vocabulary: int) -> None:
    """Raises Refusal 66 for a tokenizer with more tokens than the model has embeddings."""
    if len(tokenizer) > vocabulary:
        raise Refusal(
            Exit.MODEL, f"The tokenizer in {folder} has {len(tokenizer)} tokens, its model {vocabulary}; use its own."
        )


def read_config(folder: str) -> ModelConfig:
    path = Path(folder) / "config.json"
    check_files(folder)
    try:
        written = json.loads(path.read_text())
        kind = written["model_type"]
    except (OSError, ValueError, KeyError) as error:
        raise Refusal(
            Exit.MODEL, f"No model in {folder}: config.json is missing or broken; give the folder of a whole model."
        ) from error
    if kind != "llama":
        raise Refusal(
            Exit.MODEL,
            f"The model in {folder} is a '{kind}', and the embedded server runs 'llama' only; serve it with vLLM.",
        )
    try:
        config = ModelConfig.from_pretrained(folder)
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"Cannot use the config.json in {folder}: {first_line(error)}. Repair or replace it."
        ) from error
    unsupported = [
        name
        for name, present in (
            ("quantized weights", "quantization_config" in written),
            ("biases", config.attention_bias or config.mlp_bias),
            (f"activation {config.hidden_act}", config.hidden_act != "silu"),
        )
        if present
    ]
    if config.rope_parameters["rope_type"] not in ("default", "linear", "llama3"):
        unsupported.append(f"rope type {config.rope_parameters['rope_type']}")
    if unsupported:
        raise Refusal(
            Exit.MODEL,
            f"The model in {folder} has {' and '.join(unsupported)}, which the embedded server lacks; "
            "serve it with vLLM.",
        )
    return config
