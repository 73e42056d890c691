"""The `embed` verb: embeds texts, clusters rows (k-means), and picks diverse rows (farthest-first traversal).

Clusters and picks use the first text of each row. A row also gets the cosine distance of its first two texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn.functional import normalize
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from .adapters import merged_folder
from .exits import Exit
from .markers import encode_text
from .models import context_of, load_weights, positions, read_config, replacing
from .parts import BatchJob, run_job
from .pooling import Pooling, read_pooling
from .rows import read_rows, row_refusal
from .spec import EmbedSpec
from .stop import Stop
from .tokens import load_tokenizer, tokenizer_folder

_PART = 256  # rows whose vectors are one file
_ROUNDS = 100  # of k-means, at most


def embed(spec: EmbedSpec, stop: Stop) -> Exit:
    """Writes a line for each row of `spec.rows`, in order, to `answers.jsonl`: `{"cluster", "distance", "pick"}`.

    The vector of a text is the mean of the last hidden states of its tokens, or what the model's folder says in the way
    of Sentence Transformers (`pooling.py`), scaled to length 1. Texts are truncated to `spec.max_tokens` and to the
    positions of the model. An empty text is embedded as the EOS token, or as the padding token if there is no EOS.

    `distance` is 1 - cosine of the first text and the second, in [0, 2]; 0 without a second. `cluster` is the k-means
    cluster of the first text, among `spec.clusters`, or as many as there are rows. `pick` numbers the picks of
    `farthest_first` from 0; it is null for other rows, and without `spec.picks`.

    A killed run resumes from the parts in `vectors/`. Equal specs give equal bytes. Raises Refusal.
    """

    def open_model() -> Callable[[Path, list[list[str]]], None]:
        tokenizer = load_tokenizer(tokenizer_folder(spec.model))
        pooling = read_pooling(spec.model.folder)
        model = _open_model(spec)

        def save(file: Path, rows: list[list[str]]) -> None:
            _save(file, _vectors(spec, model, tokenizer, pooling, [text for row in rows for text in row]))

        return save

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
    return run_job(spec, stop, BatchJob(read, _PART, "vectors/{:05}.pt", open_model, answers))


def k_means(points: torch.Tensor, count: int, seed: int) -> list[int]:
    """The cluster (from 0) of each of `points` [n, width]: Lloyd's algorithm until no point changes, with k-means++
    initialization (Arthur and Vassilvitskii 2007). The centre of an empty cluster stays where it is."""
    count = min(count, len(points))
    if count == 0:
        return []
    points = points.double()
    generator = torch.Generator().manual_seed(seed)
    centres = points[torch.randint(len(points), (1,), generator=generator)]
    nearest = _squared_distances(points, centres)[:, 0]
    while len(centres) < count:
        weights = nearest if nearest.sum() > 0 else torch.ones(len(points), dtype=points.dtype)
        centre = points[torch.multinomial(weights, 1, generator=generator)]
        centres = torch.cat([centres, centre])
        nearest = torch.minimum(nearest, _squared_distances(points, centre)[:, 0])
    clusters = _squared_distances(points, centres).argmin(1)
    for _ in range(_ROUNDS):
        sizes = torch.bincount(clusters, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, clusters, points)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
        before, clusters = clusters, _squared_distances(points, centres).argmin(1)
        if torch.equal(before, clusters):
            break
    return clusters.tolist()


def farthest_first(points: torch.Tensor, count: int) -> list[int]:
    """Indices of at most `count` of `points` [n, width] by farthest-first traversal (Gonzalez 1985).

    The first is 0. Each next one has the largest Euclidean distance to its nearest pick; ties go to the lowest index.
    """
    count = min(count, len(points))
    if count == 0:
        return []
    points = points.double()
    picks, nearest = [0], _squared_distances(points, points[:1])[:, 0]
    while len(picks) < count:
        nearest[picks[-1]] = -1  # never pick it again, even if equal points remain
        picks.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, _squared_distances(points, points[picks[-1] :][:1])[:, 0])
    return picks


def _squared_distances(points: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distances [n, k] of points [n, width] to centres [k, width]."""
    return (points.square().sum(1)[:, None] - 2 * points @ centres.T + centres.square().sum(1)).clamp(min=0)


def _vectors(
    spec: EmbedSpec, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pooling: Pooling, texts: list[str]
) -> torch.Tensor:
    """Vectors [len(texts), width] of length 1. Texts are batched by length, in any order."""
    limits = (spec.max_tokens, pooling.limit(tokenizer), positions(model), context_of(model.config))
    max_length, pad = min(limits), tokenizer.pad_token_id or 0
    placeholder = pad if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    ids = [encode_text(tokenizer, pooling.text(text), max_tokens=max_length) or [placeholder] for text in texts]
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    vectors = torch.empty(len(ids), model.config.hidden_size)
    for start in range(0, len(order), spec.batch):
        batch = order[start : start + spec.batch]
        length = len(ids[batch[-1]])
        tokens = torch.tensor([ids[at] + [pad] * (length - len(ids[at])) for at in batch])
        mask = torch.tensor([[1] * len(ids[at]) + [0] * (length - len(ids[at])) for at in batch])
        tokens, mask = tokens.to(model.device), mask.to(model.device)
        hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
        vectors[batch] = normalize(pooling.pool(hidden, mask), dim=-1).cpu()
    return vectors


def _open_model(spec: EmbedSpec) -> PreTrainedModel:
    folder = merged_folder(spec.model, Path(spec.run))
    model = load_weights(AutoModel, folder, read_config(folder), is_new=_is_unused, partly=True)
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _is_unused(name: str) -> bool:
    """Whether no vector depends on a weight: that of a pooler, or of a decoder."""
    return name.startswith(("pooler.", "decoder."))


def _texts(path: str) -> Iterator[list[str]]:
    for line, row in read_rows(path):
        texts = row.get("texts")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise row_refusal(path, line, 'needs "texts", a list of at least one string')
        yield texts


def _save(file: Path, vectors: torch.Tensor) -> None:
    with replacing(file) as partial:
        torch.save(vectors, partial)
