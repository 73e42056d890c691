"""Reads and checks tokenizers, without the slow imports of model code."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import json
import re
from pathlib import Path

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .exits import Exit, Refusal, first_line
from .spec import ModelFolders

_LEADING = re.compile(r"(?:[^\S\n]*\n)*")  # empty lines, with their line ends


def read_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, which has an EOS token. Raises Refusal 66."""
    tokenizer = load_tokenizer(folder)
    if tokenizer.eos_token_id is None:
        raise Refusal(
            Exit.MODEL, f"The tokenizer in {folder} has no end token; set eos_token in its tokenizer_config.json."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`. That of an encoder may have no EOS token. Raises Refusal 66."""
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


def read_fast_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, which says where its tokens are in a text. Raises Refusal 66."""
    tokenizer = load_tokenizer(folder)
    if not tokenizer.is_fast:
        raise Refusal(
            Exit.MODEL,
            f"The tokenizer in {folder} does not say which word a token is of; give it a tokenizer.json.",
        )
    return tokenizer


def tokenizer_folder(model: ModelFolders) -> str:
    """The folder of the tokenizer: the adapter's own, or that of the base if the adapter has none."""
    return model.folder if not model.base or (Path(model.folder) / "tokenizer_config.json").is_file() else model.base


def template_tokens(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict],
    add_generation_prompt: bool = True,
    continue_final_message: bool = False,
    kwargs: dict | None = None,
) -> list[int]:
    """Tokens of `messages` under the chat template. `kwargs` are variables of the template.

    Raises ValueError with the template's message if it cannot render them.
    """
    try:
        return tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            return_dict=False,
            **(kwargs or {}),
        )
    except TemplateError as error:
        raise ValueError(str(error)) from error


def turn_tokens(tokenizer: PreTrainedTokenizerBase, before: list[dict], answer: str) -> tuple[list[int], list[int]]:
    """Tokens of the turns `before` with the generation prompt, as a server gets them, and of the answer up to its EOS.

    Empty lines before the answer are removed. Raises ValueError if the template cannot render the turns.
    """
    answered = [*before, {"role": "assistant", "content": answer[_LEADING.match(answer).end() :]}]
    try:
        opened = template_tokens(tokenizer, before)
        closed = template_tokens(tokenizer, answered, add_generation_prompt=False)
        if closed[: len(opened)] != opened:
            closed = opened + _answer_suffix(tokenizer, before, answered)
    except Exception as error:
        raise ValueError(f"cannot be rendered by the model's chat template ({error})") from error
    eos_positions = [at for at in range(len(opened), len(closed)) if closed[at] == tokenizer.eos_token_id]
    if not eos_positions:
        raise ValueError("has no end token once rendered by the model's chat template")
    return opened, closed[len(opened) : eos_positions[-1] + 1]


def _answer_suffix(tokenizer: PreTrainedTokenizerBase, before: list[dict], answered: list[dict]) -> list[int]:
    """Tokens of the answer, encoded alone. A tokenizer may merge the end of the prompt with the beginning of the answer,
    as GPT-2's does with a line end and the spaces of an indented line."""
    opened, closed = (
        tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation)
        for turns, generation in ((before, True), (answered, False))
    )
    if not closed.startswith(opened):
        raise ValueError("the turns do not begin with their own prompt")
    return tokenizer.encode(closed[len(opened) :], add_special_tokens=False)


def continuation_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Tokens of a text that continues another: without BOS and all else that the tokenizer puts before every text."""
    beginning, tokens = tokenizer.encode(""), tokenizer.encode(text)
    return tokens[len(beginning) :] if tokens[: len(beginning)] == beginning else tokens


def word_tokens(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> tuple[list[int], list[int | None]]:
    """Tokens of a sentence with its special tokens, and the position of the first token of each word; None: it has none.

    The words are joined by spaces, since tokenizers split running text as they did for the encoder.
    """
    text = " ".join(words)
    encoded = tokenizer(text, return_offsets_mapping=True)
    starts = list(itertools.accumulate((len(word) + 1 for word in words[:-1]), initial=0))
    first: dict[int, int] = {}
    for at, (start, end) in enumerate(encoded["offset_mapping"]):
        if start < end and not text[start:end].isspace():
            first.setdefault(bisect.bisect_right(starts, end - 1) - 1, at)
    return encoded["input_ids"], [first.get(word) for word in range(len(words))]


def fingerprint(tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int]) -> str:
    """SHA-256 (hex) of the tokenizer, its chat template with BOS and EOS, the text, and its token ids."""
    template = [tokenizer.chat_template, tokenizer.bos_token, tokenizer.eos_token]
    return hashlib.sha256(json.dumps([_rules(tokenizer), template, text, ids]).encode()).hexdigest()


def check_chat_template(tokenizer: PreTrainedTokenizerBase, folder: str) -> None:
    """Checks that the template can render all turns that training and serving use. Raises Refusal 66."""

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
    """The tokenizer class. AutoTokenizer imports seconds of code that the plain class does not need."""
    if json.loads(config.read_text()).get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast"):
        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer


@functools.lru_cache(maxsize=1)
def _rules(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of tokenizer.json as loaded, without padding and truncation, which calls set."""
    if not tokenizer.is_fast:
        return hashlib.sha256(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()).hexdigest()
    rules = json.loads(tokenizer.backend_tokenizer.to_str()) | {"padding": None, "truncation": None}
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()
