"""Refuses a head in the files that is not the embeddings, where config.json says that the two are one matrix."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open

from .exits import Exit, Refusal

_HEAD, _EMBEDDINGS = "lm_head.weight", ("embed_tokens.weight", "wte.weight")


def check_head(folder: str, files: list[str]) -> None:
    """Raises Refusal 66 by the safetensors `files` in `folder`, of which it reads two tensors at most."""
    if not json.loads((Path(folder) / "config.json").read_text()).get("tie_word_embeddings"):
        return
    found: dict[bool, torch.Tensor] = {}
    for file in files:
        with safe_open(Path(folder) / file, "pt") as opened:
            names = [name for name in opened.keys() if name == _HEAD or name.endswith(_EMBEDDINGS)]  # noqa: SIM118
            found |= {name == _HEAD: opened.get_tensor(name) for name in names}
    if len(found) == 2 and not torch.equal(found[True], found[False]):
        raise other_head(folder)


def other_head(folder: str) -> Refusal:
    return Refusal(
        Exit.MODEL,
        f"The weights in {folder} have a head of their own, and its config.json says that the embeddings are the head: set "
        "tie_word_embeddings to false there, or take lm_head.weight out of the weights.",
    )
