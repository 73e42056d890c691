"""Reads and checks tokenizers, without the slow imports of model code."""

from __future__ import annotations

import bisect
import datetime
import functools
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AddedToken, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .exits import Exit, Refusal, first_line
from .markers import encode_masked, encode_text, mask
from .spec import ModelFolders

DATE = datetime.date(2025, 1, 1)  # today, for chat templates: rows and prompts must not change overnight
_BEGINNINGS = (":", "a", "\n")  # texts to continue; a tokenizer may merge the end of one with what follows
_LEADING = re.compile(r"(?:[^\S\n]*\n)*")  # empty lines, with their line ends


def read_tokenizer(folder: str, model: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`, which has an EOS token. Raises Refusal 66.

    A turn may also end with another token, if the generation config of the folder `model` (None: the same) lists it.
    """
    tokenizer = load_tokenizer(folder)
    if tokenizer.eos_token_id is None:
        raise Refusal(
            Exit.MODEL, f"The tokenizer in {folder} has no end token; set eos_token in its tokenizer_config.json."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.listed_ends = _listed_ends(model or folder)
    _mark_turns(tokenizer)
    return tokenizer


def _mark_turns(tokenizer: PreTrainedTokenizerBase) -> None:
    """Makes control tokens of what the chat template writes around turns. Some tokenizers have them as other added tokens, as
    DeepSeek's has `<｜User｜>`, and a text that holds one would open a turn. Thoughts are no turns."""
    try:
        turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
        rendered = _render(tokenizer, turns[:1], True) + _render(tokenizer, turns, False)
    except Exception:
        return  # check_chat_template says what is wrong with it
    plain = [token for token in tokenizer.added_tokens_decoder.values() if not token.special and token.content.strip()]
    names = [token.content for token in plain if token.content in rendered and "think" not in token.content.lower()]
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True)


def turn_ends(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids of the tokens that end an answer: EOS, and those that `read_tokenizer` found beside it."""
    return frozenset({tokenizer.eos_token_id, *getattr(tokenizer, "listed_ends", ())})


def _listed_ends(folder: str) -> list[int]:
    path = Path(folder) / "generation_config.json"
    if not path.is_file():
        return []
    try:
        listed = json.loads(path.read_text()).get("eos_token_id") or []
    except (ValueError, AttributeError) as error:
        raise Refusal(Exit.MODEL, f"{path} is no JSON object: {first_line(error)}. Repair or replace it.") from error
    return listed if isinstance(listed, list) else [listed]


def load_tokenizer(folder: str) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`. That of an encoder may have no EOS token. Raises Refusal 66."""
    config = Path(folder) / "tokenizer_config.json"
    if not config.is_file():
        raise Refusal(
            Exit.MODEL, f"No tokenizer in {folder}: tokenizer_config.json is missing; give the folder of a whole model."
        )
    if (config.parent / "tokenizer.model").is_file() and not (config.parent / "tokenizer.json").is_file():
        raise Refusal(
            Exit.MODEL,
            f"The tokenizer in {folder} is a tokenizer.model alone, and backspin reads tokenizer.json: with sentencepiece and "
            "protobuf installed, AutoTokenizer.from_pretrained(folder).save_pretrained(folder) of Transformers writes one.",
        )
    try:
        tokenizer = _class_of(config).from_pretrained(folder, local_files_only=True)
        if tokenizer.eos_token is None:
            tokenizer.eos_token = _end_in_config(folder, tokenizer)
        return tokenizer
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"Cannot load the tokenizer in {folder}: {first_line(error)}. Repair its files."
        ) from error


def _end_in_config(folder: str, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The end token of a tokenizer that names none: GPT-2's has it in its class, and its id in config.json."""
    path = Path(folder) / "config.json"
    end = json.loads(path.read_text()).get("eos_token_id") if path.is_file() else None
    return tokenizer.convert_ids_to_tokens(end) if isinstance(end, int) else None


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
    """Tokens of `messages` under the chat template. `kwargs` are variables of the template. Control tokens in a content
    are text.

    Raises ValueError with the template's message if it cannot render them.
    """
    try:
        masked, mark = mask(tokenizer, messages)
        rendered = _render(tokenizer, masked, add_generation_prompt, continue_final_message, **(kwargs or {}))
        return encode_masked(tokenizer, rendered, mark)
    except TemplateError as error:
        raise ValueError(str(error)) from error


def turn_tokens(tokenizer: PreTrainedTokenizerBase, before: list[dict], answer: str) -> tuple[list[int], list[int]]:
    """Tokens of the turns `before` with the generation prompt, as a server gets them, and of the answer up to the token that
    ends it.

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
    ends = turn_ends(tokenizer)
    end = next((at for at in range(len(opened), len(closed)) if closed[at] in ends), None)
    if end is None:
        raise ValueError("has no end token once rendered by the model's chat template")
    return opened, closed[len(opened) : end + 1]


def _answer_suffix(tokenizer: PreTrainedTokenizerBase, before: list[dict], answered: list[dict]) -> list[int]:
    """Tokens of the answer, encoded alone. A tokenizer may merge the end of the prompt with the beginning of the answer,
    as GPT-2's does with a line end and the spaces of an indented line."""
    masked, mark = mask(tokenizer, answered)
    opened, closed = _render(tokenizer, masked[: len(before)], True), _render(tokenizer, masked, False)
    if not closed.startswith(opened):
        raise ValueError("the turns do not begin with their own prompt")
    return encode_masked(tokenizer, closed[len(opened) :], mark)


def _render(
    tokenizer: PreTrainedTokenizerBase, messages: list[dict], generation: bool, continues: bool = False, **kwargs: Any
) -> str:
    """The text of `messages` under the chat template. A template that writes today's date gets DATE."""
    return tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=generation,
        continue_final_message=continues,
        **{"strftime_now": DATE.strftime, **kwargs},
    )


def raw_prompt_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Tokens of a raw prompt: with those that the tokenizer puts before every text, without those that it puts after."""
    whole, plain = tokenizer.encode(text), tokenizer.encode(text, add_special_tokens=False)
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[: start + len(plain)]
    return whole


def continuation_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Tokens of a text that continues another: without what the tokenizer puts before every text, such as BOS, or the
    space of SentencePiece."""
    for beginning in _BEGINNINGS:
        alone, tokens = (encode_text(tokenizer, one, add_special_tokens=False) for one in (beginning, beginning + text))
        if tokens[: len(alone)] == alone:
            return tokens[len(alone) :]
    return encode_text(tokenizer, text, add_special_tokens=False)


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


def check_chat_template(tokenizer: PreTrainedTokenizerBase, folder: str, with_system: bool = True) -> None:
    """Checks that the template can render all turns that training and serving use, and system turns only if there are
    any: some templates have none. Raises Refusal 66."""

    own = "repair chat_template in its tokenizer files, or name a file with another as `chatTemplate`"

    def refuse(part: str, remedy: str = own) -> Refusal:
        return Refusal(Exit.MODEL, f"The chat template of {folder} {part}; {remedy}.")

    def render(messages: list[dict], generation: bool) -> str:
        return _render(tokenizer, messages, generation)

    if not tokenizer.chat_template:
        raise refuse("is missing")
    user = {"role": "user", "content": "backspin-question"}
    if fault := _turn_fault(tokenizer, user):
        if "enable_thinking" in tokenizer.chat_template and not _turn_fault(tokenizer, user, enable_thinking=False):
            raise refuse(fault, "set chatTemplateArguments: { enable_thinking: false }, under which it is sound")
        raise refuse(fault)
    if not with_system:
        return
    try:
        system = render([{"role": "system", "content": "backspin-system"}, user], True)
    except Exception as error:
        raise refuse(f"cannot render a system turn: {first_line(error)}") from error
    if "backspin-system" not in system:
        raise refuse("leaves a system turn out")


def _turn_fault(tokenizer: PreTrainedTokenizerBase, user: dict, **kwargs: Any) -> str | None:
    """What is wrong with the turns of a user and of an assistant, as the end of a sentence about the template."""
    answer = {"role": "assistant", "content": "backspin-answer"}
    try:
        opened = _render(tokenizer, [user], True, **kwargs)
        closed = _render(tokenizer, [user, answer], False, **kwargs)
    except Exception as error:
        return f"cannot render a user turn: {first_line(error)}"
    for turn in (user, answer):
        if turn["content"] not in closed:
            return f"leaves out the text of the {turn['role']}"
    if not closed.startswith(opened):
        return (
            f"cannot render a generation prompt: it opens an answer with {_differing_end(opened, closed)!r}, which it does "
            "not write before one"
        )
    before, _, after = closed[len(opened) :].partition(answer["content"])
    if before.strip():
        return f"cannot render a generation prompt: add_generation_prompt must also give {before!r}, before the answer"
    listed = tokenizer.convert_ids_to_tokens(getattr(tokenizer, "listed_ends", []))
    ends = [tokenizer.eos_token, *(token for token in listed if token != tokenizer.eos_token)]
    if not any(end in after for end in ends):
        sources = "eos_token, and eos_token_id in generation_config.json"
        return f"does not end the assistant's turn with the end token {' or '.join(ends)} ({sources})"
    return None


def _differing_end(text: str, other: str) -> str:
    """The end of `text` from where `other` differs from it."""
    return next((text[at:] for at in range(len(text)) if text[: at + 1] != other[: at + 1]), "")


def _class_of(config: Path) -> type:
    """The tokenizer class. The plain one does what tokenizer.json says. Classes of their own may build other rules
    around its vocabulary, and AutoTokenizer imports seconds of code."""
    if (config.parent / "tokenizer.json").is_file():
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
