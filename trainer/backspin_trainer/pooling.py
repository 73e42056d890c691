"""How a folder of Sentence Transformers (Reimers and Gurevych 2019, 1908.10084) makes one vector of a text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from transformers import PreTrainedTokenizerBase

from .exits import Exit, Refusal

# Old folders name the file of limits after the architecture.
_LIMITS = [f"sentence_{kind}_config.json" for kind in "bert roberta distilbert camembert albert xlm-roberta xlnet".split()]
_MODES = ("mean", "cls", "max", "lasttoken")


@dataclass(frozen=True)
class Pooling:
    """The mean of all tokens, the first token, the maximum, or the last token. `prompt` goes before every text."""

    mode: str = "mean"
    max_tokens: float = math.inf
    prompt: str = ""
    lower: bool = False  # texts are written in small letters first

    def limit(self, tokenizer: PreTrainedTokenizerBase) -> float:
        """The most tokens of a text: what the folder says, else what its tokenizer does."""
        return self.max_tokens if self.max_tokens < math.inf else tokenizer.model_max_length

    def text(self, text: str) -> str:
        """The text that is embedded in the place of `text`."""
        return (self.prompt + text).lower() if self.lower else self.prompt + text

    def pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Vectors [n, width] of hidden states [n, tokens, width], padded on the right where `mask` [n, tokens] is 0."""
        if self.mode == "cls":
            return hidden[:, 0]
        if self.mode == "lasttoken":
            return hidden[torch.arange(len(hidden)), mask.sum(1) - 1]
        if self.mode == "max":
            return hidden.masked_fill(mask[..., None] == 0, -math.inf).amax(1)
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def read_pooling(folder: str) -> Pooling:
    """What the folder says; a folder that says nothing has the mean. Raises Refusal 66 for what is not supported."""
    modules = _read(folder, "modules.json")
    if modules is None:
        return Pooling()
    mode, config = "mean", {}
    for module in modules:
        kind, path = module["type"].rsplit(".", 1)[-1], module["path"]
        if kind == "Pooling":
            config = _read(folder, f"{path}/config.json") or {}
            mode = _mode(folder, config)
        elif kind not in ("Transformer", "Normalize"):
            raise _refusal(folder, f"a layer of the kind {kind} after its encoder")
    limits = next(filter(None, (_read(folder, name) for name in _LIMITS)), {})
    prompts = _read(folder, "config_sentence_transformers.json") or {}
    default = prompts.get("default_prompt_name")
    prompt = (prompts.get("prompts") or {}).get(default, "") if default else ""
    if prompt and config.get("include_prompt") is False:
        raise _refusal(folder, "a prompt whose tokens its pooling leaves out")
    return Pooling(mode, limits.get("max_seq_length") or math.inf, prompt, bool(limits.get("do_lower_case")))


def _mode(folder: str, config: dict[str, Any]) -> str:
    named = config.get("pooling_mode")
    flags = [
        key.removeprefix("pooling_mode_") for key, value in config.items() if key.startswith("pooling_mode_") and value
    ]
    modes = (
        [named]
        if isinstance(named, str)
        else named or [flag.removesuffix("_tokens").removesuffix("_token") for flag in flags]
    )
    if len(modes) == 1 and modes[0] in _MODES:
        return modes[0]
    raise _refusal(folder, f"the pooling {' and '.join(modes) or 'none'}")


def _read(folder: str, name: str) -> Any:
    path = Path(folder) / name
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise Refusal(Exit.MODEL, f"{path} is no JSON: {error}. Repair or replace it.") from error


def _refusal(folder: str, what: str) -> Refusal:
    return Refusal(
        Exit.MODEL,
        f"The encoder in {folder} has {what}, which is not supported; give one with the pooling {', '.join(_MODES)}.",
    )
