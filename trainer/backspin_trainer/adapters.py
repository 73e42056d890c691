"""Low-rank adapters (Hu et al. 2021, LoRA): begun, gone on with, written, merged."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from .exits import Exit, Refusal, first_line
from .models import read_model, write_folder, write_model
from .spec import Lora, MergeSpec, ModelFolders
from .tokens import tokenizer_folder

_BASE = "base"  # what an adapter calls the model that it goes upon: its path there says nothing elsewhere


def adapt(model: PreTrainedModel, lora: Lora, seed: int) -> PeftModel:
    """A new adapter on `model`, which it does not change yet; its weights depend on `seed` and shapes alone."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_targets(model, lora),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    return get_peft_model(model, config)


def resume(model: PeftModel, folder: str) -> None:
    """Gives the adapter of `model` the weights of that in `folder`. Raises Refusal 64 where its settings are others."""
    then, now = _read_config(folder), model.peft_config["default"]
    for key, setting in (("r", "rank"), ("lora_alpha", "alpha"), ("target_modules", "targets")):
        if getattr(then, key) != getattr(now, key):
            raise Refusal(
                Exit.SPEC,
                f"Spec key 'lora.{setting}' is not what the adapter in {folder} was begun with, {getattr(then, key)}: "
                "give the same to train on in it, or merge it.",
            )
    _load(model, folder)


def write_adapter(model: PeftModel, tokenizer_folder: str, folder: Path) -> None:
    """Writes the adapter alone, whole or not at all. Equal weights give equal bytes: nothing of time, host or path."""

    def write(partial: Path) -> None:
        config = model.peft_config["default"]
        config.base_model_name_or_path = _BASE
        config.target_modules = sorted(config.target_modules)
        model.save_pretrained(partial, save_embedding_layers=False)
        (partial / "README.md").unlink()

    write_folder(folder, tokenizer_folder, write)


def merge(spec: MergeSpec) -> Exit:
    """The `merge` verb: writes base and adapter as one model, in fp32. Raises Refusal for parts that do not fit."""
    config = _read_config(spec.adapter)
    config.base_model_name_or_path = None  # whatever it was called: this base is meant
    model = get_peft_model(read_model(spec.base, 0.0), config)
    _load(model, spec.adapter)
    tokenizer = tokenizer_folder(ModelFolders(spec.adapter, spec.base))
    write_model(model.merge_and_unload(), tokenizer, Path(spec.to))
    return Exit.DONE


def whole(model: ModelFolders, run: Path) -> str:
    """The folder of a model's whole weights: its own, or `whole` in `run`, where an adapter is merged with its base."""
    if not model.base:
        return model.folder
    folder = run / "whole"
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
        strange = result.missing_keys + result.unexpected_keys
        if strange:
            raise ValueError(f"{strange[0]} is in one of them alone")
    except Exception as error:
        raise Refusal(
            Exit.MODEL,
            f"The adapter in {folder} does not fit its base: {first_line(error)}. Give the base it was trained on.",
        ) from error


def _targets(model: PreTrainedModel, lora: Lora) -> list[str]:
    """Names of the layers that are adapted: last parts of their paths, as PEFT and vLLM have them."""
    head = model.get_output_embeddings()
    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    unknown = [name for name in lora.targets or () if name not in linear]
    if unknown or not linear or lora.targets == []:
        has, wants = (", ".join(sorted(names)) or "none" for names in (linear, unknown))
        raise Refusal(
            Exit.SPEC, f"Spec key 'lora.targets' must name linear layers of the model, which has {has}, not {wants}."
        )
    return sorted(set(lora.targets or linear))
