"""Training rows: read, checked, made into tokens, and put in the order in which a run takes them."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from .exits import Exit, Refusal
from .rows import are_turns, bad, read_rows
from .spec import TrainSpec
from .tokens import fingerprint, turn_tokens

_IGNORED = -100  # the label of a token without loss, in PyTorch and Hugging Face


def read_examples(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The rows of `spec.data` as `input_ids`, `labels` and `group`, and `weight` where one is not 1. A preference has
    the prompt as `input_ids`, and `chosen`, `rejected` and their weights in place of `labels`.

    Raises Refusal 65, naming file and line.
    """
    make = {"sft": _conversations, "lm": _packed, "dpo": _preferences, "token-dpo": _preferences}
    examples = list(make[spec.objective](spec, tokenizer))
    if not examples:
        raise Refusal(Exit.DATA, f"{spec.data} holds no rows to train on; give at least one.")
    rows = Dataset.from_list(examples)
    return rows.remove_columns("weight") if set(rows["weight"]) == {1.0} else rows


def order(rows: Dataset, spec: TrainSpec) -> list[int]:
    """Which example each place of each batch takes, for the whole run: `steps * batch` indices.

    Epoch after epoch is shuffled by the seed; then, in windows of eight batches, rows of like length are put together,
    so that little is padded, and the batches of a window are shuffled again. Rows of one group stay together.
    """
    units = [list(unit) for _, unit in itertools.groupby(range(len(rows)), key=rows["group"].__getitem__)]
    size = len(units[0])
    if any(len(unit) != size for unit in units) or spec.batch % size:
        raise Refusal(
            Exit.DATA,
            f"{spec.data} has groups of {' and '.join(map(str, sorted({len(unit) for unit in units})))} rows, which "
            f"batches of {spec.batch} cannot keep together; give groups of one size, and a batch that is a multiple of it.",
        )
    tokens = [
        sum(map(len, columns))
        for columns in zip(*(rows[name] for name in ("input_ids", "chosen", "rejected") if name in rows.column_names))
    ]
    lengths = [max(tokens[at] for at in unit) for unit in units]
    chance, batch = random.Random(spec.seed), spec.batch // size
    places: list[int] = []
    while len(places) < spec.steps * batch:
        epoch = list(range(len(units)))
        chance.shuffle(epoch)
        places += epoch
    del places[spec.steps * batch :]
    ordered: list[int] = []
    for start in range(0, len(places), 8 * batch):
        window = sorted(places[start : start + 8 * batch], key=lengths.__getitem__)
        batches = [window[at : at + batch] for at in range(0, len(window), batch)]
        chance.shuffle(batches)
        ordered += [index for some in batches for place in some for index in units[place]]
    return ordered


def _conversations(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, list[int]]]:
    """One example a row: the whole conversation, with loss on its last turn and the end token alone."""
    for line, row in read_rows(spec.data):
        messages = row.get("messages")
        if not _is_conversation(messages):
            raise bad(
                spec.data,
                line,
                'needs "messages", a list of {"role", "content"} that ends with the assistant and has a turn before it',
            )
        weight = row.get("weight", 1)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise bad(spec.data, line, f"has weight {json.dumps(weight)}; give a number of at least 0, or none")
        group = row.get("group", str(line))
        if not isinstance(group, str):
            raise bad(spec.data, line, f"has group {json.dumps(group)}; give a string, or none")
        prompt, answer = _rendered(spec, tokenizer, line, messages[:-1], messages[-1]["content"])
        _check_length(spec, line, prompt, answer)
        labels = [_IGNORED] * len(prompt) + answer
        yield {"input_ids": prompt + answer, "labels": labels, "group": group, "weight": float(weight)}


def _preferences(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, list[int]]]:
    """Pairs of answers to one prompt: texts, each of whose tokens counts once, or token ids with their weights."""
    for line, row in read_rows(spec.data):
        messages = row.get("prompt")
        if not are_turns(messages) or messages[-1]["role"] == "assistant":
            raise bad(spec.data, line, 'needs "prompt", a list of {"role", "content"} that ends before the assistant')
        example: dict[str, Any] = {"group": str(line), "weight": 1.0}
        for side in ("chosen", "rejected"):
            given = row.get(side)
            if spec.objective == "dpo":
                if not isinstance(given, str):
                    raise bad(spec.data, line, f'needs "{side}", a string')
                prompt, answer = _rendered(spec, tokenizer, line, messages, given)
                weights = [1.0] * len(answer)
            else:
                prompt, _ = _rendered(spec, tokenizer, line, messages, "")
                answer, weights = _weighted(spec, tokenizer, line, side, given)
            _check_length(spec, line, prompt, answer)
            example |= {"input_ids": prompt, side: answer, f"{side}_weights": weights}
        yield example


def _weighted(
    spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, line: int, side: str, given: Any
) -> tuple[list[int], list[float]]:
    """An answer's tokens and their weights. Where text and hash stand there too, the tokens must be those that `score`
    gave for this text with this tokenizer and chat template."""
    given = given if isinstance(given, dict) else {}
    ids, weights, text, hashed = (given.get(key) for key in ("ids", "weights", "text", "hash"))
    if (
        not isinstance(ids, list)
        or not isinstance(weights, list)
        or len(ids) != len(weights)
        or not ids
        or not all(type(token) is int and 0 <= token < len(tokenizer) for token in ids)
        or not all(type(weight) in (int, float) and 0 <= weight < math.inf for weight in weights)
    ):
        raise bad(
            spec.data,
            line,
            f'needs "{side}", an answer\'s token "ids" of this tokenizer and as many "weights" of at least 0',
        )
    if "text" in given or "hash" in given:
        if not isinstance(text, str) or not isinstance(hashed, str):
            raise bad(spec.data, line, f'needs "text" and "hash" of "{side}" as strings, both or neither')
        if hashed != fingerprint(tokenizer, text, ids):
            raise bad(
                spec.data,
                line,
                f'has "{side}" weighed with another tokenizer, chat template or text; '
                "score the data again with the model that is trained",
            )
    return ids, [float(weight) for weight in weights]


def _rendered(
    spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, line: int, before: list[dict], answer: str
) -> tuple[list[int], list[int]]:
    """Tokens of the turns `before`, with all that opens the assistant's, and of its answer up to the end token."""
    try:
        return turn_tokens(tokenizer, before, answer)
    except ValueError as error:
        raise bad(spec.data, line, str(error)) from error


def _check_length(spec: TrainSpec, line: int, prompt: list[int], answer: list[int]) -> None:
    count = len(prompt) + len(answer)
    if count > spec.max_tokens:
        raise bad(
            spec.data,
            line,
            f"has {count} tokens, more than maxTokens {spec.max_tokens}; drop the row or raise maxTokens",
        )


def _packed(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase) -> Iterator[dict[str, list[int]]]:
    """All documents, each between begin and end token, as one stream cut every `max_tokens`; the last row is short."""
    stream: list[int] = []
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    for line, row in read_rows(spec.data):
        if not isinstance(row.get("text"), str):
            raise bad(spec.data, line, 'needs "text", a string')
        stream += begin + tokenizer.encode(row["text"], add_special_tokens=False) + [tokenizer.eos_token_id]
    for start in range(0, len(stream) - 1, spec.max_tokens):
        row = stream[start : start + spec.max_tokens]
        if len(row) > 1:
            yield {"input_ids": row, "labels": [_IGNORED, *row[1:]], "group": str(start), "weight": 1.0}


def _is_conversation(messages: Any) -> bool:
    return are_turns(messages) and len(messages) > 1 and messages[-1]["role"] == "assistant"
