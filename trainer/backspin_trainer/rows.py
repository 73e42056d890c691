"""Reads JSONL files of rows. Errors name the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .exits import Exit, Refusal


def read_rows(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number (from 1) and object of every line. Splits only at \\n: JSON strings may hold U+2028 and U+2029.

    Raises Refusal 65.
    """
    try:
        with open(path, "rb") as file:
            for line, text in enumerate(file, 1):
                try:
                    row = json.loads(text)
                except ValueError as error:
                    raise row_refusal(path, line, f"is not JSON ({error})") from error
                if not isinstance(row, dict):
                    raise row_refusal(path, line, "is not a JSON object")
                yield line, row
    except OSError as error:
        raise Refusal(Exit.DATA, f"Cannot read the rows in {path}: {error.strerror}. Give a JSONL file.") from error


def are_turns(messages: Any) -> bool:
    return (
        isinstance(messages, list)
        and len(messages) > 0
        and all(
            isinstance(turn, dict)
            and set(turn) == {"role", "content"}
            and all(isinstance(part, str) for part in turn.values())
            for turn in messages
        )
    )


def are_words(tokens: Any) -> bool:
    return (
        isinstance(tokens, list)
        and len(tokens) > 0
        and all(isinstance(word, str) and word.strip() != "" for word in tokens)
    )


def row_refusal(path: str, line: int, what: str) -> Refusal:
    return Refusal(Exit.DATA, f"{path}:{line} {what}.")
