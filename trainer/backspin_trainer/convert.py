"""The `convert` verb: writes weights of PyTorch's pickle format as safetensors."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from .exits import Exit, Refusal, first_line, writing
from .models import sync
from .spec import ConvertSpec


def convert(spec: ConvertSpec) -> Exit:
    """Writes one safetensors file for each of `spec.files`, and an index for several, to the new folder `spec.to`.

    Unpickles tensors only, never code. Raises Refusal.
    """
    to = Path(spec.to)
    with writing(str(to)):
        to.mkdir(parents=True)
    count = len(spec.files)
    places: dict[str, str] = {}
    for number, file in enumerate(spec.files, 1):
        name = "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"
        tensors = _read(file)
        with writing(str(to / name)):
            save_file(tensors, to / name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, name)
    with writing(str(to)):
        if count > 1:
            index = {"metadata": {}, "weight_map": dict(sorted(places.items()))}
            (to / "model.safetensors.index.json").write_text(json.dumps(index))
        sync(to)
    return Exit.DONE


def _read(file: str) -> dict[str, torch.Tensor]:
    try:
        values = torch.load(file, map_location="cpu", weights_only=True, mmap=_is_zip(file))
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"Cannot read the weights in {file}: {first_line(error)}. Fetch it again, or as safetensors."
        ) from error
    if not isinstance(values, dict) or not all(isinstance(value, torch.Tensor) for value in values.values()):
        raise Refusal(Exit.MODEL, f"{file} holds more than the weights of a model; give them as safetensors.")
    return {name: value.contiguous().clone() for name, value in values.items()}  # tied tensors share their memory


def _is_zip(file: str) -> bool:
    """Files written before PyTorch 1.6 are no zip archives and cannot be mapped."""
    with open(file, "rb") as opened:
        return opened.read(2) == b"PK"
