"""Tokenizers of model folders: read and checked, without all that a model's code would import."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from pathlib import Path

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .exits import Exit, Refusal, first_line
from .spec import ModelFolders

_LEADING = re.compile(r"(?:[^\S\n]*\n)*")  # lines that hold nothing, and the ends of them


def read_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, with its end token checked. Raises Refusal 66."""
    tokenizer = load_tokenizer(folder)
    if tokenizer.eos_token_id is None:
        raise Refusal(
            Exit.MODEL, f"The tokenizer in {folder} has no end token; set eos_token in its tokenizer_config.json."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, be it an encoder's, which has no end token. Raises Refusal 66."""
    config = Path(folder) / "tokenizer_config.json"
    if not config.is_file():
        raise Refusal(
            Exit.MODEL, f"No tokenizer in {folder}: tokenizer_config.json is missing; give the folder of a whole model."
        )
    try:
        return _class_of(config).from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"Cannot load the tokenizer in {folder}: {first_line(error)}. Repair its files."
        ) from error


def tokenizer_folder(model: ModelFolders) -> str:
    """Whose tokenizer counts: an adapter's own, or that of its base where it has none."""
    return model.folder if not model.base or (Path(model.folder) / "tokenizer_config.json").is_file() else model.base


def template_tokens(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],
    opens: bool = True,
    continues: bool = False,
    kwargs: dict | None = None,
) -> list[int]:
    """Tokens of `messages` under the chat template: with all that opens the next turn, or for the last one to go on.
    `kwargs`: what the template takes beside them.

    Raises ValueError with what the template says where it cannot render them.
    """
    try:
        return tokenizer.apply_chat_template(
            messages, add_generation_prompt=opens, continue_final_message=continues, return_dict=False, **(kwargs or {})
        )
    except TemplateError as error:
        raise ValueError(str(error)) from error


def turn_tokens(tokenizer: PreTrainedTokenizerBase, before: list[dict], answer: str) -> tuple[list[int], list[int]]:
    """Tokens of the turns `before`, with all that opens the assistant's, as a server is asked for the answer; and those
    of the answer up to the end token. Empty lines before the answer are no part of it.

    Raises ValueError, whose message says what the turns do.
    """
    answered = [*before, {"role": "assistant", "content": answer[_LEADING.match(answer).end() :]}]
    try:
        opened = template_tokens(tokenizer, before)
        closed = template_tokens(tokenizer, answered, opens=False)
        if closed[: len(opened)] != opened:
            closed = opened + _behind(tokenizer, before, answered)
    except Exception as error:
        raise ValueError(f"cannot be rendered by the model's chat template ({error})") from error
    ends = [at for at in range(len(opened), len(closed)) if closed[at] == tokenizer.eos_token_id]
    if not ends:
        raise ValueError("has no end token once rendered by the model's chat template")
    return opened, closed[len(opened) : ends[-1] + 1]


def _behind(tokenizer: PreTrainedTokenizerBase, before: list[dict], answered: list[dict]) -> list[int]:
    """Tokens of what stands behind the opened turn, by itself: a tokenizer may merge the end of the one with the
    beginning of the other, as GPT-2's does with a line end and the blanks of an indented line."""
    opened, closed = (
        tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=opens)
        for turns, opens in ((before, True), (answered, False))
    )
    if not closed.startswith(opened):
        raise ValueError("the turns do not begin with their own prompt")
    return tokenizer.encode(closed[len(opened) :], add_special_tokens=False)


def continuation_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Tokens of a text that continues another: without those that the tokenizer puts before every text."""
    beginning, tokens = tokenizer.encode(""), tokenizer.encode(text)
    return tokens[len(beginning) :] if tokens[: len(beginning)] == beginning else tokens


def fingerprint(tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int]) -> str:
    """What `ids` were made of, as hex digits of SHA-256: vocabulary and rules of the tokenizer, its chat template with
    the tokens that it may name, the text, and the ids."""
    template = [tokenizer.chat_template, tokenizer.bos_token, tokenizer.eos_token]
    return hashlib.sha256(json.dumps([_rules(tokenizer), template, text, ids]).encode()).hexdigest()


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


@functools.lru_cache(maxsize=1)
def _rules(tokenizer: PreTrainedTokenizerBase) -> str:
    """A digest of tokenizer.json as it was loaded, but for what a call may set."""
    if not tokenizer.is_fast:
        return hashlib.sha256(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()).hexdigest()
    rules = json.loads(tokenizer.backend_tokenizer.to_str()) | {"padding": None, "truncation": None}
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()
