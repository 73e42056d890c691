"""Tokenizers of model folders: read and checked, without all that a model's code would import."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .exits import Exit, Refusal, first_line
from .spec import ModelFolders


def read_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, with its end token checked. Raises Refusal 66."""
    config = Path(folder) / "tokenizer_config.json"
    if not config.is_file():
        raise Refusal(
            Exit.MODEL, f"No tokenizer in {folder}: tokenizer_config.json is missing; give the folder of a whole model."
        )
    try:
        tokenizer = _class_of(config).from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"Cannot load the tokenizer in {folder}: {first_line(error)}. Repair its files."
        ) from error
    if tokenizer.eos_token_id is None:
        raise Refusal(
            Exit.MODEL, f"The tokenizer in {folder} has no end token; set eos_token in its tokenizer_config.json."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def tokenizer_folder(model: ModelFolders) -> str:
    """Whose tokenizer counts: an adapter's own, or that of its base where it has none."""
    return model.folder if not model.base or (Path(model.folder) / "tokenizer_config.json").is_file() else model.base


def check_chat_template(tokenizer: PreTrainedTokenizerBase, folder: str) -> None:
    """Checks that the template renders all that training and serving need. Raises Refusal 66, naming the part."""

    def refuse(part: str) -> Refusal:
        return Refusal(
            Exit.MODEL, f"The chat template of {folder} {part}; repair chat_template in its tokenizer files."
        )

    def render(messages: list[dict], generation: bool) -> str:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation)

    if not tokenizer.chat_template:
        raise refuse("is missing")
    user = {"role": "user", "content": "backspin-question"}
    answer = {"role": "assistant", "content": "backspin-answer"}
    try:
        opened, closed = render([user], True), render([user, answer], False)
    except Exception as error:
        raise refuse(f"cannot render a user turn: {first_line(error)}") from error
    if not closed.startswith(opened) or not closed[len(opened) :].lstrip().startswith(answer["content"]):
        raise refuse(
            "cannot render a generation prompt: add_generation_prompt must give all that stands before the answer"
        )
    if tokenizer.eos_token not in closed[len(opened) :]:
        raise refuse(f"does not end the assistant's turn with the end token {tokenizer.eos_token}")
    try:
        system = render([{"role": "system", "content": "backspin-system"}, user], True)
    except Exception as error:
        raise refuse(f"cannot render a system turn: {first_line(error)}") from error
    if "backspin-system" not in system:
        raise refuse("leaves a system turn out")


def _class_of(config: Path) -> type:
    """The class that loads it. Transformers' chooser by model imports seconds of code that its plain class needs not."""
    if json.loads(config.read_text()).get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast"):
        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer
