"""The `tag` verb: the intent of sentences, and a tag for each of their words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .exits import Exit
from .models import positions, replacing
from .parts import BatchJob, run_job
from .rows import are_words, read_rows, row_refusal
from .spec import TagSpec
from .stop import Stop
from .tagger import Labels, pad_rows, read_tagger
from .tokens import read_fast_tokenizer, word_tokens

_PART = 256  # rows of one answer file


def tag(spec: TagSpec, stop: Stop) -> Exit:
    """Writes a line for each row of `spec.rows`, in order, to `answers.jsonl`: `{"intent", "tags"}`.

    Both are the likeliest labels by themselves: nothing keeps an `I-` from following an `O`. A word of which the
    tokenizer makes no token gets `O`. A sentence of more tokens than the model has positions gets `{"tooLong"}`, with
    the reason.

    A killed run resumes from the parts in `tags/`. Equal specs give equal bytes. Raises Refusal.
    """

    def open_model() -> Callable[[Path, list[list[str]]], None]:
        tokenizer = read_fast_tokenizer(spec.tagger)
        model, labels = read_tagger(spec.tagger)
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        return lambda file, rows: _save(file, _answers(spec, model, labels, tokenizer, rows))

    def answers(_: list[list[str]], files: list[Path]) -> Iterator[str]:
        return (line for file in files for line in file.open())

    read = lambda: list(_sentences(spec.rows))  # noqa: E731
    return run_job(spec, stop, BatchJob(read, _PART, "tags/{:05}.jsonl", open_model, answers))


def _answers(
    spec: TagSpec, model: PreTrainedModel, labels: Labels, tokenizer: PreTrainedTokenizerBase, rows: list[list[str]]
) -> list[dict[str, Any]]:
    """Sentences are batched by length, in any order."""
    limit, pad = positions(model), tokenizer.pad_token_id or 0
    tokens = [word_tokens(tokenizer, words) for words in rows]
    answers = [
        {"tooLong": f"has {len(ids)} tokens, and the tagger reads at most {limit}"} if len(ids) > limit else {}
        for ids, _ in tokens
    ]
    order = sorted((at for at, answer in enumerate(answers) if not answer), key=lambda at: len(tokens[at][0]))
    for start in range(0, len(order), spec.batch):
        batch = order[start : start + spec.batch]
        padded = pad_rows([tokens[at][0] for at in batch], pad)
        logits = model(**{name: values.to(model.device) for name, values in padded.items()})
        best = {name: values.argmax(-1).cpu() for name, values in logits.items()}
        for row, at in enumerate(batch):
            first = tokens[at][1]
            tags = ["O" if position is None else labels.tags[best["tags"][row, position]] for position in first]
            answers[at] = {"intent": labels.intents[best["intents"][row]], "tags": tags}
    return answers


def _sentences(path: str) -> Iterator[list[str]]:
    for line, row in read_rows(path):
        if not are_words(row.get("tokens")):
            raise row_refusal(path, line, 'needs "tokens", a list of at least one word')
        yield row["tokens"]


def _save(file: Path, answers: list[dict[str, Any]]) -> None:
    with replacing(file) as partial:
        partial.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
