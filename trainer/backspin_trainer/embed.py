"""The `embed` verb: embeds the texts of every row, tells how far a row's texts lie apart, and groups rows by their first."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from .adapters import merge
from .events import Events
from .exits import Exit, Refusal, first_line, writing
from .models import sync_directory
from .spec import EmbedSpec, MergeSpec
from .stop import Stop
from .tokens import read_tokenizer, tokenizer_folder

_PART = 256  # rows whose vectors are one file: what a kill costs at most
_ROUNDS = 100  # of k-means, should it not settle before


def embed(spec: EmbedSpec, stop: Stop) -> Exit:
    """Writes an answer for each row of `spec.rows`, in order, to `answers.jsonl`: `{"cluster", "distance"}`.

    A text's vector is the mean of the last hidden states of its tokens (`spec.max_tokens` of them at most), scaled to
    length 1. `distance` is 1 - cosine of a row's first text and its second, in [0, 2]; 0 where it has no second.
    `cluster` is that of the first text among `spec.clusters` by k-means, or as many as there are rows. Parts that are
    done stay in `vectors/`, so a run that was killed goes on; equal specs give equal bytes. Raises Refusal.
    """
    run = Path(spec.run)
    if (run / "answers.jsonl").is_file():
        return Exit.DONE
    events = Events(run / "events.jsonl")
    stop.watch(run / "stop")
    try:
        return _embed(spec, run, events, stop)
    except Exception as error:
        code = error.code if isinstance(error, Refusal) else Exit.INTERNAL
        events.say("error", message=str(error) or type(error).__name__, code=code)
        raise


@torch.inference_mode()
def _embed(spec: EmbedSpec, run: Path, events: Events, stop: Stop) -> Exit:
    torch.set_num_threads(spec.threads)
    rows = list(_texts(spec.rows))
    parts = math.ceil(len(rows) / _PART)
    done = [part for part in range(parts) if _file(run, part).is_file()]
    events.say("start", pid=os.getpid(), resumedFrom=len(done) * _PART or None, steps=len(rows))
    if len(done) < parts:
        tokenizer = read_tokenizer(tokenizer_folder(spec.model))
        model = _open_model(spec, run)
        for part in sorted({*range(parts)} - {*done}):
            if stop.requested():
                stop.obeyed()
                events.say("stopped", step=part * _PART)
                return Exit.INTERRUPTED
            texts = rows[part * _PART : (part + 1) * _PART]
            vectors = _vectors(spec, model, tokenizer, [text for row in texts for text in row])
            _save(_file(run, part), vectors)
            events.say("checkpoint", step=min((part + 1) * _PART, len(rows)))
    vectors = torch.cat([torch.load(_file(run, part)) for part in range(parts)] or [torch.empty(0, 1)])
    firsts, distances, at = [], [], 0
    for row in rows:
        firsts.append(at)
        distances.append(float(1 - vectors[at] @ vectors[at + 1]) if len(row) > 1 else 0.0)
        at += len(row)
    clusters = k_means(vectors[firsts], spec.clusters, spec.seed)
    answers = run / "answers.jsonl"
    partial = answers.with_suffix(".partial")
    with writing(str(answers)):
        partial.write_text(
            "".join(
                json.dumps({"cluster": cluster, "distance": round(max(distance, 0.0), 6)}) + "\n"
                for cluster, distance in zip(clusters, distances)
            )
        )
        sync_directory(partial)
        partial.rename(answers)
        sync_directory(run)
    events.say("done", step=len(rows), loss=None)
    return Exit.DONE


def k_means(points: torch.Tensor, count: int, seed: int) -> list[int]:
    """The cluster of each of `points` [n, width], from 0: Lloyd's rounds from centres drawn as k-means++ draws them
    (Arthur and Vassilvitskii 2007), until no point changes. A centre that loses all its points stays where it is."""
    count = min(count, len(points))
    if count == 0:
        return []
    points = points.double()
    chance = torch.Generator().manual_seed(seed)
    centres = points[torch.randint(len(points), (1,), generator=chance)]
    nearest = _squares(points, centres)[:, 0]
    while len(centres) < count:
        weights = nearest if nearest.sum() > 0 else torch.ones(len(points), dtype=points.dtype)
        centre = points[torch.multinomial(weights, 1, generator=chance)]
        centres = torch.cat([centres, centre])
        nearest = torch.minimum(nearest, _squares(points, centre)[:, 0])
    clusters = _squares(points, centres).argmin(1)
    for _ in range(_ROUNDS):
        sizes = torch.bincount(clusters, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, clusters, points)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
        before, clusters = clusters, _squares(points, centres).argmin(1)
        if torch.equal(before, clusters):
            break
    return clusters.tolist()


def _squares(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared distances [n, k]."""
    return (points.square().sum(1)[:, None] - 2 * points @ centres.T + centres.square().sum(1)).clamp(min=0)


def _vectors(
    spec: EmbedSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]
) -> torch.Tensor:
    """Vectors [len(texts), width] of length 1. Batches hold texts of like length, whatever the order they came in."""
    ids = [tokenizer.encode(text)[: spec.max_tokens] or [tokenizer.eos_token_id] for text in texts]
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    vectors = torch.empty(len(ids), model.config.hidden_size)
    for start in range(0, len(order), spec.batch):
        batch = order[start : start + spec.batch]
        length = len(ids[batch[-1]])
        tokens = torch.tensor([ids[at] + [tokenizer.pad_token_id] * (length - len(ids[at])) for at in batch])
        there = torch.tensor([[1] * len(ids[at]) + [0] * (length - len(ids[at])) for at in batch])
        tokens, there = tokens.to(model.device), there.to(model.device)
        hidden = model(input_ids=tokens, attention_mask=there).last_hidden_state.float()
        means = (hidden * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        vectors[batch] = normalize(means, dim=-1).cpu()
    return vectors


def _open_model(spec: EmbedSpec, run: Path) -> PreTrainedModel:
    folder = spec.model.folder
    if spec.model.base:
        whole = run / "whole"
        if not whole.is_dir():
            merge(MergeSpec(1, folder, spec.model.base, str(whole)))
        folder = str(whole)
    try:
        model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"Cannot load the model in {folder}: {first_line(error)}. Repair or replace it."
        ) from error
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _texts(path: str) -> Iterator[list[str]]:
    try:
        with open(path, "rb") as file:
            for line, row in enumerate(file, 1):
                texts: Any = json.loads(row)["texts"]
                if not texts or not all(isinstance(text, str) for text in texts):
                    raise Refusal(Exit.DATA, f'{path}:{line} needs "texts", a list of at least one string.')
                yield texts
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refusal(Exit.DATA, f"Cannot read the rows in {path}: {error}. Give a JSONL file.") from error


def _file(run: Path, part: int) -> Path:
    return run / "vectors" / f"{part:05}.pt"


def _save(file: Path, vectors: torch.Tensor) -> None:
    partial = file.with_suffix(".partial")
    with writing(str(file)):
        file.parent.mkdir(exist_ok=True)
        torch.save(vectors, partial)
        sync_directory(partial)
        partial.rename(file)
        sync_directory(file.parent)
