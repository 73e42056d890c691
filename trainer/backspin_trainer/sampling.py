"""Samples the next token of each row. It depends only on the row's own logits, parameters and random number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch


LIKELIEST = 256  # tokens among which top-k and top-p mostly end; to sort a large vocabulary costs more than a pass


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters. Temperature 0 is greedy; `top_k` 0, `top_p` 1 and `repetition_penalty` 1 are off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0


def choose(logits: torch.Tensor, rows: list[tuple[Sampling, list[int], float]]) -> list[int]:
    """A token for each row. `logits` [n, vocabulary] are changed in place. `rows` have parameters, the previous tokens
    of the sequence, and a random number in (0, 1].

    Rows run in groups by their own parameters and probabilities, because a sorted row sums in another order.
    """
    greedy, plain, cut = [], [], []
    for row, (sampling, previous, _) in enumerate(rows):
        if sampling.repetition_penalty != 1:
            _penalise(logits[row], previous, sampling.repetition_penalty)
        (greedy if sampling.temperature == 0 else plain if not sampling.top_k and sampling.top_p == 1 else cut).append(
            row
        )
    tokens = [0] * len(rows)
    if greedy:
        _put(tokens, greedy, logits[greedy].argmax(-1))
    if plain:
        _put(tokens, plain, _draw(_tempered(logits, plain, rows).softmax(-1), [rows[row][2] for row in plain]))
    if cut:
        settings = [rows[row][0] for row in cut]
        for places, values, ids in _sorted(_tempered(logits, cut, rows).softmax(-1), settings):
            wanted = [cut[place] for place in places]
            kept = _cut_off(values, [settings[place] for place in places])
            drawn = _draw(kept, [rows[row][2] for row in wanted])
            _put(tokens, wanted, ids.gather(-1, drawn[:, None])[:, 0])
    return tokens


def _sorted(
    probabilities: torch.Tensor, settings: list[Sampling]
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Rows in two groups: their places, and probabilities and ids of their tokens, likeliest first. The first group has
    the LIKELIEST tokens, within which top-k or top-p ends, the second all.
    """
    values, ids = probabilities.topk(min(LIKELIEST, probabilities.shape[-1]))
    few, all_ = [], []
    for place, (one, sum_) in enumerate(zip(settings, values.cumsum(-1)[:, -1].tolist())):
        (few if 0 < one.top_k <= LIKELIEST or one.top_p <= sum_ else all_).append(place)
    if few:
        yield few, values[few], ids[few]
    if all_:
        yield all_, *probabilities[all_].sort(dim=-1, descending=True, stable=True)


def _cut_off(values: torch.Tensor, settings: list[Sampling]) -> torch.Tensor:
    """Keeps of sorted probabilities [n, k] the first top_k, and of those the first that sum to the share top_p."""
    number = values.shape[-1]
    first = torch.arange(number) < torch.tensor([[one.top_k or number] for one in settings])
    values = values * first
    sums = values.cumsum(-1)
    whole = torch.where(torch.tensor([[one.top_k > 0] for one in settings]), sums[:, -1:], 1)
    return values * (sums - values < torch.tensor([[one.top_p] for one in settings]) * whole)


def _tempered(logits: torch.Tensor, rows: list[int], settings: list[tuple[Sampling, list[int], float]]) -> torch.Tensor:
    return logits[rows] / torch.tensor([[settings[row][0].temperature] for row in rows])


def _draw(probabilities: torch.Tensor, numbers: list[float]) -> torch.Tensor:
    """Inverse transform sampling: the first index where the cumulative sum reaches a share in (0, 1] of the total."""
    sums = probabilities.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(sums, sums[:, -1:] * torch.tensor(numbers, dtype=torch.float64)[:, None])[:, 0]


def _penalise(logits: torch.Tensor, previous: list[int], penalty: float) -> None:
    """Repetition penalty over prompt and answer (Keskar et al. 2019, CTRL, section 4.1)."""
    ids = torch.tensor(sorted(set(previous)))
    logits[ids] = torch.where(logits[ids] > 0, logits[ids] / penalty, logits[ids] * penalty)


def _put(tokens: list[int], rows: list[int], chosen: torch.Tensor) -> None:
    for row, token in zip(rows, chosen.tolist()):
        tokens[row] = token
