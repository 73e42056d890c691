"""LoRA adapters (Hu et al. 2021): adds, continues, writes and merges them."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from .exits import Exit, Refusal, first_line
from .models import read_model, write_folder, write_model
from .spec import Lora, MergeSpec, ModelFolders
from .targets import check_targets
from .tokens import tokenizer_folder

_BASE = "base"  # written in place of the path of the base model, which means nothing on another machine


def add_adapter(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """Adds a new adapter to `model`. Its weights depend only on `seed` and shapes; it does not change outputs yet."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=check_targets(model, lora),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    return get_peft_model(model, config)


def continue_adapter(model: PeftModel, folder: str) -> None:
    """Loads the weights in `folder` into the adapter of `model`. Raises Refusal 64 if their LoRA settings differ."""
    saved, current = _read_config(folder), model.peft_config["default"]
    for key, setting in (("r", "rank"), ("lora_alpha", "alpha"), ("target_modules", "targets")):
        if getattr(saved, key) != getattr(current, key):
            raise Refusal(
                Exit.SPEC,
                f"Spec key 'lora.{setting}' is not what the adapter in {folder} was begun with, {getattr(saved, key)}: "
                "give the same to train on in it, or merge it.",
            )
    _load(model, folder)


def write_adapter(model: PeftModel, tokenizer_folder: str, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Writes only the adapter, atomically: that of `model`, or its `weights`. Equal weights give equal bytes: no time, host or
    path."""

    def write(partial: Path) -> None:
        config = model.peft_config["default"]
        config.base_model_name_or_path = _BASE
        config.target_modules = sorted(config.target_modules)
        model.save_pretrained(partial, save_embedding_layers=False, state_dict=weights)
        (partial / "README.md").unlink()

    write_folder(folder, tokenizer_folder, write)


def merge(spec: MergeSpec) -> Exit:
    """The `merge` verb: writes base and adapter merged, in fp32. Raises Refusal if they do not fit."""
    config = _read_config(spec.adapter)
    config.base_model_name_or_path = None  # the spec names the base
    model = get_peft_model(read_model(spec.base, 0.0), config)
    _load(model, spec.adapter)
    tokenizer = tokenizer_folder(ModelFolders(spec.adapter, spec.base))
    write_model(model.merge_and_unload(), tokenizer, Path(spec.to))
    return Exit.DONE


def causal_lm(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """The model itself, without the wrapper of an adapter."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def read_adapted(model: ModelFolders, dtype: torch.dtype, **loading) -> PreTrainedModel | PeftModel:
    """A full model, or a base in `dtype` with its adapter in fp32, which is not merged. `loading` goes to `from_pretrained`. Raises Refusal."""
    if not model.base:
        return read_model(model.folder, 0.0, dtype, **loading)
    adapted = get_peft_model(read_model(model.base, 0.0, dtype, **loading), _read_config(model.folder))
    _load(adapted, model.folder)
    return adapted


def merged_folder(model: ModelFolders, run: Path) -> str:
    """The folder of the full model: its own, or `merged` in `run`, to which it merges an adapter and its base."""
    if not model.base:
        return model.folder
    folder = run / "merged"
    if not folder.is_dir():
        merge(MergeSpec(1, model.folder, model.base, str(folder)))
    return str(folder)


def _read_config(folder: str) -> PeftConfig:
    try:
        return PeftConfig.from_pretrained(folder)
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"No adapter in {folder}: {first_line(error)}. Give the folder of a whole one."
        ) from error


def _load(model: PeftModel, folder: str) -> None:
    try:
        result = model.load_adapter(folder, "default", is_trainable=True)
        mismatched = result.missing_keys + result.unexpected_keys
        if mismatched:
            raise ValueError(f"{mismatched[0]} is in one of them alone")
    except Exception as error:
        raise Refusal(
            Exit.MODEL,
            f"The adapter in {folder} does not fit its base: {first_line(error)}. Give the base it was trained on.",
        ) from error
