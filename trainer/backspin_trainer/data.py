"""Training rows: reads, checks and tokenizes them, and orders them for a run."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from .exits import Exit, Refusal
from .heads import IGNORED
from .markers import encode_text
from .preferences import mismatch
from .rows import are_turns, are_words, read_rows
from .spec import TrainSpec
from .tokens import fingerprint, template_tokens, turn_tokens, word_tokens


@dataclass(frozen=True)
class Examples:
    """The tokenized rows of `spec.data`. `dataset` is None if there are none.

    `kept` counts rows of the file, `truncated` those of them that were cut. `refused` are `{"line", "reason",
    "evidence"}`.
    """

    dataset: Dataset | None
    kept: int
    truncated: int
    refused: list[dict[str, Any]]


class _RowRefused(Exception):
    """The trainer cannot train on a row. backspin counts `reason`; the message is evidence for a person."""

    def __init__(self, reason: str, evidence: str):
        super().__init__(evidence)
        self.reason = reason


def read_examples(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase) -> Examples:
    """Tokenizes the rows of `spec.data` to `input_ids`, `labels` and `group`, and `weight` if any weight is not 1.

    A preference row has the prompt as `input_ids`, and `chosen`, `rejected` and their token weights instead of `labels`.
    A row of "kto" has its completion as `chosen`, and that of another prompt as `rejected`; see `preferences.mismatch`.
    A row for a tagger has the positions of its `words`, their `tags` and the `intent` instead.
    With `spec.evaluate` the dataset has the column `held_out`. The reasons of refused rows are `too-long`, `empty`, `invalid`
    and `group`. Raises Refusal 65 if the file is no JSONL.
    """
    tokenize = _TOKENIZE[spec.objective]
    examples: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    broken: set[str] = set()
    for line, row in read_rows(spec.data):
        try:
            held_out = {"held_out": row.get("heldOut") is True} if spec.evaluate else {}
            examples.append({"group": str(line)} | tokenize(spec, tokenizer, row) | {"line": line} | held_out)
        except _RowRefused as refusal:
            refused.append({"line": line, "reason": refusal.reason, "evidence": str(refusal)})
            broken.add(row["group"] if isinstance(row.get("group"), str) else str(line))
    examples, incomplete = _complete_groups(examples, broken)
    if spec.objective == "kto":
        mismatch(examples, spec.max_tokens)
    refused = sorted(refused + incomplete, key=lambda row: row["line"])
    truncated = sum(example.pop("truncated", False) for example in examples)
    kept = len(examples)
    for example in examples:
        del example["line"]
    rows = _packed(spec, examples) if spec.objective == "lm" else examples
    if not rows:
        return Examples(None, 0, 0, refused)
    dataset = Dataset.from_list(rows)
    unweighted = "weight" in dataset.column_names and set(dataset["weight"]) == {1.0}
    dataset = dataset.remove_columns("weight") if unweighted else dataset
    return Examples(dataset, kept, truncated, refused)


def split(examples: Dataset) -> tuple[Dataset, Dataset | None]:
    """The rows to train on, and those held out (None without `spec.evaluate`)."""
    if "held_out" not in examples.column_names:
        return examples, None
    held_out = examples["held_out"]
    parts = ([at for at, held in enumerate(held_out) if held is which] for which in (False, True))
    train, held = (examples.select(part).remove_columns("held_out") for part in parts)
    return train, held


def has_system_turns(path: str) -> bool:
    """Whether a row of the file has a system turn, in a conversation or in a prompt."""
    return any(
        are_turns(turns) and any(turn["role"] == "system" for turn in turns)
        for _, row in read_rows(path)
        for turns in (row.get("messages"), row.get("prompt"))
    )


def sample_order(dataset: Dataset, spec: TrainSpec) -> list[int]:
    """The indices [steps * batch] of the examples in the order of the whole run, batch after batch.

    It shuffles every epoch by the seed. Then, in windows of eight batches of an epoch, it sorts rows by length, which
    saves padding, and shuffles the batches. Rows of one group stay together. A batch has no row twice, unless it has
    more rows than the file.
    """
    groups = [list(group) for _, group in itertools.groupby(range(len(dataset)), key=dataset["group"].__getitem__)]
    size = len(groups[0])
    if any(len(group) != size for group in groups) or spec.batch % size:
        raise Refusal(
            Exit.DATA,
            f"{spec.data} has groups of {' and '.join(map(str, sorted({len(group) for group in groups})))} rows, which "
            f"batches of {spec.batch} cannot keep together; give groups of one size, and a batch that is a multiple of it.",
        )
    columns = [dataset[name] for name in ("input_ids", "chosen", "rejected") if name in dataset.column_names]
    tokens = [sum(map(len, values)) for values in zip(*columns)]
    lengths = [max(tokens[at] for at in group) for group in groups]
    batches = itertools.islice(_batches(lengths, spec.batch // size, random.Random(spec.seed)), spec.steps)
    return [row for indices in batches for index in indices for row in groups[index]]


def _batches(lengths: list[int], batch: int, rng: random.Random) -> Iterator[list[int]]:
    """Batches of indices of `lengths`, without end."""
    rest: list[int] = []  # of the last epoch
    while True:
        epoch = list(range(len(lengths)))
        rng.shuffle(epoch)
        if rest:
            fresh = list(itertools.islice((index for index in epoch if index not in rest), batch - len(rest)))
            if len(rest) + len(fresh) < batch:  # fewer rows than a batch
                rest += epoch
                while len(rest) >= batch:
                    yield rest[:batch]
                    rest = rest[batch:]
                continue
            yield rest + fresh
            taken = set(fresh)
            epoch = [index for index in epoch if index not in taken]
        full = len(epoch) // batch * batch
        rest = epoch[full:]
        for start in range(0, full, 8 * batch):
            window = sorted(epoch[start : min(start + 8 * batch, full)], key=lengths.__getitem__)
            batches = [window[at : at + batch] for at in range(0, len(window), batch)]
            rng.shuffle(batches)
            yield from batches


def _complete_groups(
    examples: list[dict[str, Any]], broken: set[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The examples of complete groups, and the refusals of the others.

    A group is incomplete if it is one of `broken`, which lost a row, or if its size is not the most common one: it
    cannot share batches with the others.
    """
    groups = [list(group) for _, group in itertools.groupby(examples, key=lambda example: example["group"])]
    sizes = Counter(len(group) for group in groups if group[0]["group"] not in broken)
    size = sizes.most_common(1)[0][0] if sizes else 0
    complete, refused = [], []
    for group in groups:
        name = group[0]["group"]
        if name not in broken and len(group) == size:
            complete += group
            continue
        evidence = (
            f"another row of its group {name} was dropped"
            if name in broken
            else f"its group {name} has the size {len(group)}, and most have {size}"
        )
        refused += [{"line": example["line"], "reason": "group", "evidence": evidence} for example in group]
    return complete, refused


def _conversation(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> dict[str, Any]:
    """A conversation. Only its last turn, with the EOS token, has a loss."""
    messages = row.get("messages")
    if not _is_conversation(messages):
        raise _RowRefused(
            "invalid",
            'needs "messages", a list of {"role", "content"} that ends with the assistant and has a turn before it',
        )
    weight = _row_weight(row)
    if not isinstance(row.get("group", ""), str):
        raise _RowRefused("invalid", f"has group {json.dumps(row['group'])}; give a string, or none")
    prompt, answer = _tokenize_turn(tokenizer, messages[:-1], messages[-1]["content"])
    cut = _answer_length(spec, prompt, answer)
    labels = [IGNORED] * len(prompt) + answer[:cut]
    example = {"input_ids": prompt + answer[:cut], "labels": labels, "weight": weight}
    return example | {"truncated": cut < len(answer)} | ({"group": row["group"]} if "group" in row else {})


def _preference(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> dict[str, Any]:
    """Two answers to one prompt: texts, whose tokens all have weight 1, or token ids with their weights."""
    messages = row.get("prompt")
    if not are_turns(messages) or messages[-1]["role"] == "assistant":
        raise _RowRefused("invalid", 'needs "prompt", a list of {"role", "content"} that ends before the assistant')
    example: dict[str, Any] = {"weight": _row_weight(row), "truncated": False}
    for side in ("chosen", "rejected"):
        given = row.get(side)
        if spec.objective == "dpo":
            if not isinstance(given, str):
                raise _RowRefused("invalid", f'needs "{side}", a string')
            prompt, answer = _tokenize_turn(tokenizer, messages, given)
            weights = [1.0] * len(answer)
        else:
            prompt = _tokenize_prompt(tokenizer, messages)
            answer, weights = _weighted_answer(tokenizer, side, given)
        cut = _answer_length(spec, prompt, answer)
        example |= {"input_ids": prompt, side: answer[:cut], f"{side}_weights": weights[:cut]}
        example["truncated"] |= cut < len(answer)
    return example


def _completion(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> dict[str, Any]:
    """A completion of a prompt, and whether it is desirable."""
    messages, completion, label = (row.get(key) for key in ("prompt", "completion", "label"))
    if not are_turns(messages) or messages[-1]["role"] == "assistant":
        raise _RowRefused("invalid", 'needs "prompt", a list of {"role", "content"} that ends before the assistant')
    if not isinstance(completion, str):
        raise _RowRefused("invalid", 'needs "completion", a string')
    if not isinstance(label, bool):
        raise _RowRefused("invalid", 'needs "label", true or false')
    prompt, answer = _tokenize_turn(tokenizer, messages, completion)
    cut = _answer_length(spec, prompt, answer)
    example = {"input_ids": prompt, "chosen": answer[:cut], "chosen_weights": [1.0] * cut, "desirable": label}
    return example | {"weight": _row_weight(row), "truncated": cut < len(answer)}


def _row_weight(row: dict[str, Any]) -> float:
    weight = row.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise _RowRefused("invalid", f"has weight {json.dumps(weight)}; give a number of at least 0, or none")
    return float(weight)


def _weighted_answer(tokenizer: PreTrainedTokenizerBase, side: str, given: Any) -> tuple[list[int], list[float]]:
    """An answer's token ids and their weights.

    If it has `text` and `hash` too, the ids must be those that `score` made of this text with this tokenizer and chat
    template.
    """
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
        raise _RowRefused(
            "invalid", f'needs "{side}", an answer\'s token "ids" of this tokenizer and as many "weights" of at least 0'
        )
    if "text" in given or "hash" in given:
        if not isinstance(text, str) or not isinstance(hashed, str):
            raise _RowRefused("invalid", f'needs "text" and "hash" of "{side}" as strings, both or neither')
        if hashed != fingerprint(tokenizer, text, ids):
            raise _RowRefused(
                "invalid",
                f'has "{side}" weighed with another tokenizer, chat template or text; '
                "score the data again with the model that is trained",
            )
        _check_text(text)
    return ids, [float(weight) for weight in weights]


def _tokenize_turn(tokenizer: PreTrainedTokenizerBase, before: list[dict], answer: str) -> tuple[list[int], list[int]]:
    """Tokens of the turns `before` with the generation prompt, and of the answer with its EOS token."""
    _check_text(answer)
    try:
        return turn_tokens(tokenizer, before, answer)
    except ValueError as error:
        raise _RowRefused("invalid", str(error)) from error


def _tokenize_prompt(tokenizer: PreTrainedTokenizerBase, messages: list[dict]) -> list[int]:
    try:
        return template_tokens(tokenizer, messages)
    except Exception as error:
        raise _RowRefused("invalid", f"cannot be rendered by the model's chat template ({error})") from error


def _check_text(text: str) -> None:
    if not text.strip():
        raise _RowRefused("empty", f"there is nothing to learn: the text is {json.dumps(text)}")


def _answer_length(spec: TrainSpec, prompt: list[int], answer: list[int]) -> int:
    """How many tokens of the answer to train on, under `maxTokens`."""
    count, available = len(prompt) + len(answer), spec.max_tokens - len(prompt)
    if count <= spec.max_tokens:
        return len(answer)
    if spec.too_long != "truncate" or available < 1:
        raise _RowRefused(
            "too-long", f"has {count} tokens, {len(prompt)} of them before the answer; maxTokens is {spec.max_tokens}"
        )
    return available


def _document(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> dict[str, Any]:
    """The tokens of a document: a text between BOS and EOS, or a conversation as the chat template renders it."""
    messages, text = row.get("messages"), row.get("text")
    if _is_conversation(messages):
        prompt, answer = _tokenize_turn(tokenizer, messages[:-1], messages[-1]["content"])
        return {"document": prompt + answer}
    if not isinstance(text, str):
        raise _RowRefused("invalid", 'needs "text", a string, or "messages", a conversation that ends with the assistant')
    _check_text(text)
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return {"document": begin + encode_text(tokenizer, text, add_special_tokens=False) + [tokenizer.eos_token_id]}


def _sentence(spec: TrainSpec, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any]) -> dict[str, Any]:
    """A sentence with BIO tags and an intent. `words` are the positions of the first tokens of its words."""
    tokens, tags, intent = (row.get(key) for key in ("tokens", "tags", "intent"))
    if not are_words(tokens):
        raise _RowRefused("invalid", 'needs "tokens", a list of words, none of them blank')
    if not isinstance(tags, list) or len(tags) != len(tokens):
        raise _RowRefused("invalid", f'needs "tags", a list of one for each of its {len(tokens)} tokens')
    if not isinstance(intent, str) or not intent.strip():
        raise _RowRefused("invalid", 'needs "intent", a string that is not blank')
    _check_tags(tags)
    ids, words = word_tokens(tokenizer, tokens)
    if None in words:
        raise _RowRefused(
            "invalid", f"has the word {json.dumps(tokens[words.index(None)])}, of which there is no token"
        )
    if len(ids) <= spec.max_tokens:
        return {"input_ids": ids, "words": words, "tags": tags, "intent": intent}
    if spec.too_long != "truncate":
        raise _RowRefused("too-long", f"has {len(ids)} tokens; maxTokens is {spec.max_tokens}")
    ids = tokenizer(" ".join(tokens), truncation=True, max_length=spec.max_tokens)["input_ids"]
    words = [position for position in words if position < len(ids) - 1]
    return {"input_ids": ids, "words": words, "tags": tags[: len(words)], "intent": intent, "truncated": True}


def _check_tags(tags: list[Any]) -> None:
    """Refuses tags that are no BIO."""
    before = "O"
    for number, tag in enumerate(tags, 1):
        prefix, dash, kind = tag.partition("-") if isinstance(tag, str) else ("", "", "")
        if tag != "O" and not (prefix in ("B", "I") and dash and kind):
            raise _RowRefused(
                "invalid", f'has the tag {json.dumps(tag)} at token {number}; give "O", "B-type" or "I-type"'
            )
        if prefix == "I" and before[1:] != tag[1:]:
            raise _RowRefused(
                "invalid", f"has the tag {tag} at token {number} after {before}: a slot begins with B-{kind}"
            )
        before = tag


def _packed(spec: TrainSpec, documents: list[dict[str, Any]]) -> list[dict]:
    """The documents to train on, packed, and then those held out."""
    if not spec.evaluate:
        return _pack(spec, documents)
    return [
        {**row, "held_out": held, "group": f"{held} {row['group']}"}
        for held in (False, True)
        for row in _pack(spec, [one for one in documents if one["held_out"] is held])
    ]


def _pack(spec: TrainSpec, documents: list[dict[str, Any]]) -> list[dict]:
    """All documents as one stream cut every `max_tokens`. The last row is shorter."""
    stream = list(itertools.chain.from_iterable(one["document"] for one in documents))
    starts = range(0, len(stream) - 1, spec.max_tokens)
    rows = [(start, stream[start : start + spec.max_tokens]) for start in starts]
    return [
        {"input_ids": row, "labels": [IGNORED, *row[1:]], "group": str(start), "weight": 1.0}
        for start, row in rows
        if len(row) > 1
    ]


def _is_conversation(messages: Any) -> bool:
    return are_turns(messages) and len(messages) > 1 and messages[-1]["role"] == "assistant"


_TOKENIZE = {
    "sft": _conversation,
    "lm": _document,
    "dpo": _preference,
    "token-dpo": _preference,
    "kto": _completion,
    "tagger": _sentence,
}
