"""The layers that a LoRA adapter changes. Imports no PEFT, which takes seconds."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from .exits import Exit, Refusal
from .spec import Lora

_LINEAR = (torch.nn.Linear, Conv1D)  # Conv1D is the linear layer of GPT-2
_MAMBA = frozenset("bamba falcon_h1 falcon_mamba granitemoehybrid mamba mamba2 nemotron_h zamba2".split())
_FUSED = frozenset({"out_proj", "conv1d"})  # kernels of Mamba read their weights past an adapter; PEFT refuses most of them

def check_targets(model: PreTrainedModel, lora: Lora) -> list[str]:
    """Names of the target modules: the last parts of their paths, as in PEFT and vLLM. Raises Refusal 64 if the model
    lacks one, or if an adapter cannot change it, or if experts would be left out."""
    head = model.get_output_embeddings()
    linear = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, _LINEAR) and module is not head
    }
    unknown = [name for name in lora.targets or () if name not in linear]
    if unknown or not linear or lora.targets == []:
        has, wants = (", ".join(sorted(names)) or "none" for names in (linear, unknown))
        raise Refusal(
            Exit.SPEC, f"Spec key 'lora.targets' must name linear layers of the model, which has {has}, not {wants}."
        )
    targets = set(lora.targets or linear)
    if model.config.model_type in _MAMBA and targets & _FUSED:
        raise Refusal(
            Exit.SPEC,
            f"Spec key 'lora.targets' must leave out {', '.join(sorted(targets & _FUSED))} in a {model.config.model_type}, "
            f"whose kernels read that weight past an adapter: name others, such as {', '.join(sorted(linear - _FUSED))}.",
        )
    if lora.targets is None:
        _check_experts(model)
    return sorted(targets)


def _check_experts(model: PreTrainedModel) -> None:
    """Raises Refusal 64 if an adapter of all linear layers would leave most weights out without a word."""
    experts = sum(weight.numel() for name, weight in model.named_parameters() if weight.ndim == 3 and "expert" in name)
    if experts:
        share = experts / sum(weight.numel() for weight in model.parameters())
        raise Refusal(
            Exit.SPEC,
            f"Spec key 'lora.targets' must be set: {share:.0%} of the model's weights are in experts, which are no linear "
            "layers, so that an adapter leaves them as they are. Name the layers to adapt, such as q_proj.",
        )
