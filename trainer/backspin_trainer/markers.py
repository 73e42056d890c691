"""Texts that contain the control tokens of a tokenizer, such as a web page that quotes `<|im_end|>`: they stay text."""

from __future__ import annotations

import functools
import math
import re

from transformers import PreTrainedTokenizerBase


def mask(tokenizer: PreTrainedTokenizerBase, messages: list[dict]) -> tuple[list[dict], str | None]:
    """`messages` with a mark inside every control token of their contents, and the mark; None if there is none.

    A chat template renders them as they are, since it looks for no such text in a content.
    """
    control, contents = _control_tokens(tokenizer), "".join(message["content"] for message in messages)
    if not control.search(contents):
        return messages, None
    mark = next(character for character in map(chr, range(0xE000, 0xF900)) if character not in contents)

    def masked(text: str) -> str:
        return control.sub(lambda found: found[0][0] + mark + found[0][1:], text)

    return [{**message, "content": masked(message["content"])} for message in messages], mark


def encode_masked(tokenizer: PreTrainedTokenizerBase, text: str, mark: str | None) -> list[int]:
    """Tokens of a rendered text. Its control tokens are those of the template; what is masked is text."""
    if mark is None:
        return tokenizer.encode(text, add_special_tokens=False)
    control, ids, at = _control_tokens(tokenizer), [], 0
    for found in control.finditer(text):
        ids += encode_text(tokenizer, text[at : found.start()].replace(mark, ""), add_special_tokens=False)
        ids.append(tokenizer.convert_tokens_to_ids(found[0]))
        at = found.end()
    return ids + encode_text(tokenizer, text[at:].replace(mark, ""), add_special_tokens=False)


def encode_text(
    tokenizer: PreTrainedTokenizerBase, text: str, add_special_tokens: bool = True, max_tokens: float = math.inf
) -> list[int]:
    """Tokens of a text in which control tokens are text. `add_special_tokens`: with those that the tokenizer adds.

    A text of more than `max_tokens` is cut, and keeps what the tokenizer adds at its end.
    """
    options = {"add_special_tokens": add_special_tokens, "split_special_tokens": True}
    ids = tokenizer.encode(text, **options)
    return (
        ids
        if len(ids) <= max_tokens
        else tokenizer.encode(text, truncation=True, max_length=int(max_tokens), **options)
    )


@functools.lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    tokens = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    longest_first = sorted((token for token in tokens if len(token) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
