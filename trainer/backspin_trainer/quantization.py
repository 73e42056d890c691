"""Refuses quantized weights, whose stored numbers are not those to compute with."""

from __future__ import annotations

import re
from pathlib import Path

from .exits import Exit, Refusal

_FILES = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")  # of ModelOpt, AutoGPTQ and AutoAWQ
# Numbers beside the weights of a layer.
_SCALES = re.compile(
    r"\.(\w*_scale(_inv|_2)?|scales|qweight|qzeros|g_idx|absmax|quant_map|weight_packed|\w*zero_point|SCB)$"
)


def check_files(folder: str) -> None:
    """Raises Refusal 66 if a file beside config.json describes a quantization."""
    for name in _FILES:
        if (Path(folder) / name).is_file():
            raise refusal(folder, name)


def check_stored(folder: str, formats: dict[str, str]) -> None:
    """Raises Refusal 66 for weights that are quantized by their names, or by their number formats as safetensors names them
    ("": not known)."""
    for name, stored in formats.items():
        if _SCALES.search(name) or stored.startswith(("F8", "F6", "F4")):
            raise refusal(folder, name)


def refusal(folder: str, why: str) -> Refusal:
    return Refusal(Exit.MODEL, f"The weights in {folder} are quantized ({why}): give the model in bfloat16 or float32.")
