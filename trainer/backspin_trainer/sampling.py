"""Samples the next token of each row. It depends only on the row's own logits, parameters and random number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch


LIKELIEST = 256  # tokens among which top-k and top-p mostly end; to sort a large vocabulary costs more than a pass


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters. Temperature 0 is greedy; `top_k` 0, `top_p` 1, `min_p` 0, `repetition_penalty` 1 and the other
    penalties 0 are off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0

    @property
    def cuts(self) -> bool:
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


@dataclass
class Row:
    """The sequence of a row of logits, and what it draws by: its prompt and answer so far, a random number in (0, 1],
    and the tokens that may come next (None: all)."""

    sampling: Sampling
    prompt: list[int]
    answer: list[int]
    number: float
    allowed: list[int] | None = None


def choose(logits: torch.Tensor, rows: list[Row]) -> list[int]:
    """A token for each row. `logits` [n, vocabulary] are changed in place.

    Rows run in groups by their own parameters and probabilities, because a sorted row sums in another order.
    """
    greedy, plain, cut = [], [], []
    for at, row in enumerate(rows):
        _penalise(logits[at], row)
        if row.allowed is not None:
            kept = logits[at, row.allowed]
            logits[at] = -math.inf
            logits[at, row.allowed] = kept
        (greedy if row.sampling.temperature == 0 else cut if row.sampling.cuts else plain).append(at)
    tokens = [0] * len(rows)
    if greedy:
        _put(tokens, greedy, logits[greedy].argmax(-1))
    if plain:
        _put(tokens, plain, _draw(_tempered(logits, plain, rows).softmax(-1), [rows[row].number for row in plain]))
    if cut:
        settings = [rows[row].sampling for row in cut]
        for places, values, ids in _sorted(_tempered(logits, cut, rows).softmax(-1), settings):
            wanted = [cut[place] for place in places]
            kept = _cut_off(values, [settings[place] for place in places])
            drawn = _draw(kept, [rows[row].number for row in wanted])
            _put(tokens, wanted, ids.gather(-1, drawn[:, None])[:, 0])
    return tokens


def _sorted(
    probabilities: torch.Tensor, settings: list[Sampling]
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Rows in two groups: their places, and probabilities and ids of their tokens, likeliest first. The first group has
    the LIKELIEST tokens, within which top-k, min-p or top-p ends, the second all.
    """
    values, ids = probabilities.topk(min(LIKELIEST, probabilities.shape[-1]))
    few, all_ = [], []
    ends = zip(values.cumsum(-1)[:, -1].tolist(), values[:, 0].tolist(), values[:, -1].tolist())
    for place, (one, (sum_, first, last)) in enumerate(zip(settings, ends)):
        enough = last < one.min_p * first if one.min_p > 0 else one.top_p <= sum_
        (few if 0 < one.top_k <= LIKELIEST or enough else all_).append(place)
    if few:
        yield few, values[few], ids[few]
    if all_:
        yield all_, *probabilities[all_].sort(dim=-1, descending=True, stable=True)


def _cut_off(values: torch.Tensor, settings: list[Sampling]) -> torch.Tensor:
    """Keeps of sorted probabilities [n, k] the first top_k that are at least the share min_p of the first, and of those
    the first that sum to the share top_p."""
    number = values.shape[-1]
    first = torch.arange(number) < torch.tensor([[one.top_k or number] for one in settings])
    first &= values >= torch.tensor([[one.min_p] for one in settings]) * values[:, :1]
    values = values * first
    sums = values.cumsum(-1)
    whole = torch.where(torch.tensor([[one.top_k > 0 or one.min_p > 0] for one in settings]), sums[:, -1:], 1)
    return values * (sums - values < torch.tensor([[one.top_p] for one in settings]) * whole)


def _tempered(logits: torch.Tensor, places: list[int], rows: list[Row]) -> torch.Tensor:
    return logits[places] / torch.tensor([[rows[place].sampling.temperature] for place in places])


def _draw(probabilities: torch.Tensor, numbers: list[float]) -> torch.Tensor:
    """Inverse transform sampling: the first index where the cumulative sum reaches a share in (0, 1] of the total."""
    sums = probabilities.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(sums, sums[:, -1:] * torch.tensor(numbers, dtype=torch.float64)[:, None])[:, 0]


def _penalise(logits: torch.Tensor, row: Row) -> None:
    """Repetition penalty over prompt and answer (Keskar et al. 2019, CTRL, section 4.1), then OpenAI's presence and
    frequency penalties over the answer, as in vLLM."""
    one = row.sampling
    if one.repetition_penalty != 1:
        ids = torch.tensor(sorted({*row.prompt, *row.answer}))
        logits[ids] = torch.where(logits[ids] > 0, logits[ids] / one.repetition_penalty, logits[ids] * one.repetition_penalty)
    if row.answer and (one.presence_penalty or one.frequency_penalty):
        ids, counts = torch.tensor(row.answer).unique(return_counts=True)
        logits[ids] -= one.presence_penalty + one.frequency_penalty * counts


def _put(tokens: list[int], rows: list[int], chosen: torch.Tensor) -> None:
    for row, token in zip(rows, chosen.tolist()):
        tokens[row] = token
