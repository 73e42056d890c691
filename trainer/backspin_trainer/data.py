"""Training rows: read, checked, made into tokens, and put in the order in which a run takes them."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from .exits import Exit, Refusal
from .rows import are_turns, read_rows
from .spec import TrainSpec
from .tokens import fingerprint, template_tokens, turn_tokens

_IGNORED = -100  # the label of a token without loss, in PyTorch and Hugging Face


@dataclass(frozen=True)
class Examples:
    """What is trained on: `rows` of the file at `spec.data`; how many `left`, `truncated` ones among them; and the
    `refused`, as `{"line", "reason", "evidence"}`."""

    rows: Dataset | None
    left: int
    truncated: int
    refused: list[dict[str, Any]]


class _Refused(Exception):
    """One row cannot be trained on, for a `reason` that is counted; the message is what a person wants to see of it."""

    def __init__(self, reason: str, evidence: str):
        super().__init__(evidence)
        self.reason = reason


def read_examples(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase) -> Examples:
    """The rows of `spec.data` as `input_ids`, `labels` and `group`, and `weight` where one is not 1. A preference has
    the prompt as `input_ids`, and `chosen`, `rejected` and their weights in place of `labels`.

    A row that cannot be trained on is refused as `too-long`, `empty`, `invalid` or `group`, and no other with it.
    Raises Refusal 65 where the file is no JSONL.
    """
    make = {"sft": _conversation, "lm": _document, "dpo": _preference, "token-dpo": _preference}[spec.objective]
    made: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    lost: set[str] = set()
    for line, row in read_rows(spec.data):
        try:
            made.append({"group": str(line)} | make(spec, tokenizer, row) | {"line": line})
        except _Refused as why:
            refused.append({"line": line, "reason": why.reason, "evidence": str(why)})
            lost.add(row["group"] if isinstance(row.get("group"), str) else str(line))
    examples, torn = _whole_groups(made, lost)
    refused = sorted(refused + torn, key=lambda one: one["line"])
    truncated = sum(example.pop("truncated", False) for example in examples)
    left = len(examples)
    for example in examples:
        del example["line"]
    rows = _packed(spec, tokenizer, examples) if spec.objective == "lm" else examples
    if not rows:
        return Examples(None, 0, 0, refused)
    data = Dataset.from_list(rows)
    data = data.remove_columns("weight") if set(data["weight"]) == {1.0} else data
    return Examples(data, left, truncated, refused)


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


def _whole_groups(
    examples: list[dict[str, Any]], lost: set[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The examples of whole groups, and the others, refused: a group that has `lost` a row, or has another size than
    most, cannot share batches with the others."""
    units = [list(unit) for _, unit in itertools.groupby(examples, key=lambda one: one["group"])]
    sizes = Counter(len(unit) for unit in units if unit[0]["group"] not in lost)
    usual = sizes.most_common(1)[0][0] if sizes else 0
    whole, torn = [], []
    for unit in units:
        group = unit[0]["group"]
        if group not in lost and len(unit) == usual:
            whole += unit
            continue
        evidence = (
            f"another row of its group {group} was dropped"
            if group in lost
            else f"its group {group} has the size {len(unit)}, and most have {usual}"
        )
        torn += [{"line": one["line"], "reason": "group", "evidence": evidence} for one in unit]
    return whole, torn


def _conversation(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> dict[str, Any]:
    """The whole conversation, with loss on its last turn and the end token alone."""
    messages = row.get("messages")
    if not _is_conversation(messages):
        raise _Refused(
            "invalid",
            'needs "messages", a list of {"role", "content"} that ends with the assistant and has a turn before it',
        )
    weight = row.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise _Refused("invalid", f"has weight {json.dumps(weight)}; give a number of at least 0, or none")
    if not isinstance(row.get("group", ""), str):
        raise _Refused("invalid", f"has group {json.dumps(row['group'])}; give a string, or none")
    prompt, answer = _rendered(tokenizer, messages[:-1], messages[-1]["content"])
    cut = _room(spec, prompt, answer)
    labels = [_IGNORED] * len(prompt) + answer[:cut]
    example = {"input_ids": prompt + answer[:cut], "labels": labels, "weight": float(weight)}
    return example | {"truncated": cut < len(answer)} | ({"group": row["group"]} if "group" in row else {})


def _preference(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> dict[str, Any]:
    """Two answers to one prompt: texts, each of whose tokens counts once, or token ids with their weights."""
    messages = row.get("prompt")
    if not are_turns(messages) or messages[-1]["role"] == "assistant":
        raise _Refused("invalid", 'needs "prompt", a list of {"role", "content"} that ends before the assistant')
    example: dict[str, Any] = {"weight": 1.0, "truncated": False}
    for side in ("chosen", "rejected"):
        given = row.get(side)
        if spec.objective == "dpo":
            if not isinstance(given, str):
                raise _Refused("invalid", f'needs "{side}", a string')
            prompt, answer = _rendered(tokenizer, messages, given)
            weights = [1.0] * len(answer)
        else:
            prompt = _prompt(tokenizer, messages)
            answer, weights = _weighted(tokenizer, side, given)
        cut = _room(spec, prompt, answer)
        example |= {"input_ids": prompt, side: answer[:cut], f"{side}_weights": weights[:cut]}
        example["truncated"] |= cut < len(answer)
    return example


def _weighted(tokenizer: PreTrainedTokenizerBase, side: str, given: Any) -> tuple[list[int], list[float]]:
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
        raise _Refused(
            "invalid", f'needs "{side}", an answer\'s token "ids" of this tokenizer and as many "weights" of at least 0'
        )
    if "text" in given or "hash" in given:
        if not isinstance(text, str) or not isinstance(hashed, str):
            raise _Refused("invalid", f'needs "text" and "hash" of "{side}" as strings, both or neither')
        if hashed != fingerprint(tokenizer, text, ids):
            raise _Refused(
                "invalid",
                f'has "{side}" weighed with another tokenizer, chat template or text; '
                "score the data again with the model that is trained",
            )
        _check_text(text)
    return ids, [float(weight) for weight in weights]


def _rendered(tokenizer: PreTrainedTokenizerBase, before: list[dict], answer: str) -> tuple[list[int], list[int]]:
    """Tokens of the turns `before`, with all that opens the assistant's, and of its answer up to the end token."""
    _check_text(answer)
    try:
        return turn_tokens(tokenizer, before, answer)
    except ValueError as error:
        raise _Refused("invalid", str(error)) from error


def _prompt(tokenizer: PreTrainedTokenizerBase, messages: list[dict]) -> list[int]:
    try:
        return template_tokens(tokenizer, messages)
    except Exception as error:
        raise _Refused("invalid", f"cannot be rendered by the model's chat template ({error})") from error


def _check_text(text: str) -> None:
    if not text.strip():
        raise _Refused("empty", f"there is nothing to learn: the text is {json.dumps(text)}")


def _room(spec: TrainSpec, prompt: list[int], answer: list[int]) -> int:
    """How many tokens of the answer are learnt."""
    count, room = len(prompt) + len(answer), spec.max_tokens - len(prompt)
    if count <= spec.max_tokens:
        return len(answer)
    if spec.too_long != "truncate" or room < 1:
        raise _Refused(
            "too-long", f"has {count} tokens, {len(prompt)} of them before the answer; maxTokens is {spec.max_tokens}"
        )
    return room


def _document(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(row.get("text"), str):
        raise _Refused("invalid", 'needs "text", a string')
    _check_text(row["text"])
    return {"text": row["text"]}


def _packed(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, documents: list[dict[str, Any]]) -> list[dict]:
    """All documents, each between begin and end token, as one stream cut every `max_tokens`; the last row is short."""
    stream: list[int] = []
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    for document in documents:
        stream += begin + tokenizer.encode(document["text"], add_special_tokens=False) + [tokenizer.eos_token_id]
    starts = range(0, len(stream) - 1, spec.max_tokens)
    rows = [(start, stream[start : start + spec.max_tokens]) for start in starts]
    return [
        {"input_ids": row, "labels": [_IGNORED, *row[1:]], "group": str(start), "weight": 1.0}
        for start, row in rows
        if len(row) > 1
    ]


def _is_conversation(messages: Any) -> bool:
    return are_turns(messages) and len(messages) > 1 and messages[-1]["role"] == "assistant"
