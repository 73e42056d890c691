"""The `embed` verb: embeds the texts of every row, tells how far a row's texts lie apart, groups rows by their first, and
picks rows whose first texts lie far apart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn.functional import normalize
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from .adapters import whole
from .exits import Exit, Refusal, first_line
from .models import replacing
from .parts import Batch, work_off
from .rows import bad, read_rows
from .spec import EmbedSpec
from .stop import Stop
from .tokens import load_tokenizer, tokenizer_folder

_PART = 256  # rows whose vectors are one file
_ROUNDS = 100  # of k-means, should it not settle before


def embed(spec: EmbedSpec, stop: Stop) -> Exit:
    """Writes an answer for each row of `spec.rows`, in order, to `answers.jsonl`: `{"cluster", "distance", "pick"}`.

    A text's vector is the mean of the last hidden states of its tokens (`spec.max_tokens` of them at most, and no more
    than the model has positions for), scaled to length 1. A text without tokens has that of the end token, or of the
    padding where there is none. `distance` is 1 - cosine of a row's first text and its second, in [0, 2]; 0 where it has
    no second. `cluster` is that of the first text among `spec.clusters` by k-means, or as many as there are rows. `pick`
    counts from 0 the first texts as `farthest_first` picks them; null for all others, and without `spec.picks`. Parts
    that are done stay in `vectors/`, so a run that was killed goes on; equal specs give equal bytes. Raises Refusal.
    """

    def open_model() -> Callable[[Path, list[list[str]]], None]:
        tokenizer = load_tokenizer(tokenizer_folder(spec.model))
        model = _open_model(spec)
        return lambda file, rows: _save(file, _vectors(spec, model, tokenizer, [text for row in rows for text in row]))

    def answers(rows: list[list[str]], files: list[Path]) -> list[str]:
        vectors = torch.cat([torch.load(file) for file in files] or [torch.empty(0, 1)])
        firsts, distances, at = [], [], 0
        for row in rows:
            firsts.append(at)
            distances.append(float(1 - vectors[at] @ vectors[at + 1]) if len(row) > 1 else 0.0)
            at += len(row)
        clusters = k_means(vectors[firsts], spec.clusters, spec.seed)
        picks = {at: n for n, at in enumerate(farthest_first(vectors[firsts], spec.picks or 0))}
        return [
            json.dumps({"cluster": cluster, "distance": round(max(distance, 0.0), 6), "pick": picks.get(at)}) + "\n"
            for at, (cluster, distance) in enumerate(zip(clusters, distances))
        ]

    read = lambda: list(_texts(spec.rows))  # noqa: E731
    return work_off(spec, stop, Batch(read, _PART, "vectors/{:05}.pt", open_model, answers))


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


def farthest_first(points: torch.Tensor, count: int) -> list[int]:
    """Indices of `count` of `points` [n, width], or of all: first 0, then each time the point whose Euclidean distance to
    the nearest one picked is largest, the first of equals (Gonzalez 1985)."""
    count = min(count, len(points))
    if count == 0:
        return []
    points = points.double()
    picks, nearest = [0], _squares(points, points[:1])[:, 0]
    while len(picks) < count:
        nearest[picks[-1]] = -1  # picked, also where others are equal to it
        picks.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, _squares(points, points[picks[-1] :][:1])[:, 0])
    return picks


def _squares(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared distances [n, k]."""
    return (points.square().sum(1)[:, None] - 2 * points @ centres.T + centres.square().sum(1)).clamp(min=0)


def _vectors(
    spec: EmbedSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]
) -> torch.Tensor:
    """Vectors [len(texts), width] of length 1. Batches hold texts of like length, whatever the order they came in."""
    most, pad = min(spec.max_tokens, _positions(model)), tokenizer.pad_token_id or 0
    nothing = pad if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    ids = [tokenizer.encode(text)[:most] or [nothing] for text in texts]
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    vectors = torch.empty(len(ids), model.config.hidden_size)
    for start in range(0, len(order), spec.batch):
        batch = order[start : start + spec.batch]
        length = len(ids[batch[-1]])
        tokens = torch.tensor([ids[at] + [pad] * (length - len(ids[at])) for at in batch])
        there = torch.tensor([[1] * len(ids[at]) + [0] * (length - len(ids[at])) for at in batch])
        tokens, there = tokens.to(model.device), there.to(model.device)
        hidden = model(input_ids=tokens, attention_mask=there).last_hidden_state.float()
        means = (hidden * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        vectors[batch] = normalize(means, dim=-1).cpu()
    return vectors


def _positions(model: PreTrainedModel) -> float:
    """Tokens that a learned embedding of positions has room for; some begin after their padding."""
    learned = [
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding)
    ]
    return min(learned, default=math.inf)


def _open_model(spec: EmbedSpec) -> PreTrainedModel:
    folder = whole(spec.model, Path(spec.run))
    try:
        model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    except Exception as error:
        raise Refusal(
            Exit.MODEL, f"Cannot load the model in {folder}: {first_line(error)}. Repair or replace it."
        ) from error
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _texts(path: str) -> Iterator[list[str]]:
    for line, row in read_rows(path):
        texts = row.get("texts")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise bad(path, line, 'needs "texts", a list of at least one string')
        yield texts


def _save(file: Path, vectors: torch.Tensor) -> None:
    with replacing(file) as partial:
        torch.save(vectors, partial)
