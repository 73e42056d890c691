"""Options of trainings that need a package of their own or a CUDA device, and what a model must be like for them."""

from __future__ import annotations

import inspect
import sys
from importlib.util import find_spec

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from .device import computes_in_bf16
from .exits import Exit, Refusal
from .spec import ModelUse, TrainSpec

_ATTENTION = {"flash-attention-2": ("flash_attention_2", "flash_attn"), "flash-attention-3": ("flash_attention_3", "flash_attn_interface")}


def check_packages(options: TrainSpec | ModelUse) -> None:
    """Raises Refusal 69 if a package is missing that an option needs."""
    if options.quantization == "nf4":
        _require("quantization", "nf4", "bitsandbytes")
    if options.optimizer == "adamw-8bit":
        _require("optimizer", "adamw-8bit", "bitsandbytes")
    if options.attention in _ATTENTION:
        _require("attention", options.attention, _ATTENTION[options.attention][1])
    if options.liger:
        _require("liger", "true", "liger_kernel")


def check_cuda(options: TrainSpec | ModelUse) -> None:
    """Raises Refusal 64 for an option that computes on CUDA devices alone, if there is none."""
    needing = {
        "quantization": options.quantization == "nf4",  # bitsandbytes has no backward pass for its kernels on the CPU
        "optimizer": options.optimizer == "adamw-8bit",
        "attention": options.attention in _ATTENTION,
        "liger": options.liger,
    }
    for name, needs in needing.items():
        if needs and not torch.cuda.is_available():
            raise Refusal(Exit.SPEC, f"Spec key '{name}' needs a CUDA device, and this device group has none: leave it out.")


def check_packing(model: PreTrainedModel) -> None:
    """Raises Refusal 64 for an architecture that would mix the rows of a packed sequence, as far as one can tell without weights;
    for certain if it has them."""
    positions = "position_ids" in inspect.signature(model.base_model.forward).parameters
    mixes = not positions or model._is_stateful or not model._supports_sdpa
    if mixes or (model.device.type != "meta" and _second_row_differs(model)):
        raise Refusal(
            Exit.SPEC,
            f"Spec key 'packing' must be false: {type(model).__name__} cannot keep the rows of one sequence apart.",
        )


@torch.no_grad()
def _second_row_differs(model: PreTrainedModel) -> bool:
    """Whether a row of two tokens has other hidden states behind an equal row."""
    row = torch.arange(2, device=model.device)
    training = model.training
    states = model.eval().base_model(input_ids=row.repeat(2)[None], position_ids=row.repeat(2)[None], use_cache=False)
    model.train(training)
    first, second = states.last_hidden_state[0].chunk(2)
    return not torch.allclose(first, second, rtol=1e-3, atol=1e-3)


def quantization(options: TrainSpec | ModelUse) -> dict:
    """Arguments of `from_pretrained` for the base of an adapter."""
    if options.quantization == "none":
        return {}
    config = BitsAndBytesConfig(  # Dettmers et al. 2023, QLoRA
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if computes_in_bf16() else torch.float32,
    )
    return {"quantization_config": config}


def use_kernels(model: PreTrainedModel, options: TrainSpec | ModelUse) -> None:
    """Replaces attention, norms, rotations and MLPs by kernels for CUDA devices: on a CPU the model does not run any more. The loss
    stays ours, which holds no logits of whole sequences either."""
    if options.attention in _ATTENTION:
        model.set_attn_implementation(_ATTENTION[options.attention][0])
    if options.liger:
        from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model, fused_linear_cross_entropy=False, cross_entropy=False)


def _require(name: str, value: str, package: str) -> None:
    if find_spec(package) is None:
        shown = {"flash_attn": "flash-attn", "flash_attn_interface": "flash-attn-3", "liger_kernel": "liger-kernel"}.get(package, package)
        raise Refusal(
            Exit.DEPENDENCY,
            f"Spec key '{name}' is {value}, and the Python of trainings has no {shown}: `{sys.executable} -m pip install "
            f"{shown}`, or leave it out.",
        )
