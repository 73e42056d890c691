"""The next token of each row. What a row gets depends on its own logits, settings and random number alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is the most likely token; `top_k` 0 and `top_p` 1 cut nothing; a penalty of 1 changes nothing."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0


def choose(logits: torch.Tensor, rows: list[tuple[Sampling, list[int], float]]) -> list[int]:
    """One token a row. `logits`: [n, vocabulary], changed in place; `rows`: settings, tokens seen, a number in (0, 1].

    Rows are done in three groups, by their own settings, because a row that is sorted sums in another order.
    """
    greedy, plain, cut = [], [], []
    for row, (sampling, seen, _) in enumerate(rows):
        if sampling.repetition_penalty != 1:
            _penalise(logits[row], seen, sampling.repetition_penalty)
        (greedy if sampling.temperature == 0 else plain if not sampling.top_k and sampling.top_p == 1 else cut).append(
            row
        )
    tokens = [0] * len(rows)
    if greedy:
        _put(tokens, greedy, logits[greedy].argmax(-1))
    if plain:
        _put(tokens, plain, _draw(_warm(logits, plain, rows).softmax(-1), [rows[row][2] for row in plain]))
    if cut:
        warm, ids = _warm(logits, cut, rows).sort(dim=-1, descending=True, stable=True)
        vocabulary = logits.shape[-1]
        top_k = torch.tensor([[rows[row][0].top_k or vocabulary] for row in cut])
        warm = warm.masked_fill(torch.arange(vocabulary) >= top_k, -torch.inf)
        chances = warm.softmax(-1)
        top_p = torch.tensor([[rows[row][0].top_p] for row in cut])
        chances = chances.masked_fill(chances.cumsum(-1) - chances >= top_p, 0)
        drawn = _draw(chances, [rows[row][2] for row in cut])
        _put(tokens, cut, ids.gather(-1, drawn[:, None])[:, 0])
    return tokens


def _warm(logits: torch.Tensor, rows: list[int], settings: list[tuple[Sampling, list[int], float]]) -> torch.Tensor:
    return logits[rows] / torch.tensor([[settings[row][0].temperature] for row in rows])


def _draw(chances: torch.Tensor, numbers: list[float]) -> torch.Tensor:
    """The first index at which the running sum reaches a share in (0, 1] of the whole: never one of chance 0."""
    sums = chances.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(sums, sums[:, -1:] * torch.tensor(numbers, dtype=torch.float64)[:, None])[:, 0]


def _penalise(logits: torch.Tensor, seen: list[int], penalty: float) -> None:
    """Makes tokens of prompt and answer less likely (Keskar et al. 2019, CTRL, section 4.1)."""
    ids = torch.tensor(sorted(set(seen)))
    logits[ids] = torch.where(logits[ids] > 0, logits[ids] / penalty, logits[ids] * penalty)


def _put(tokens: list[int], rows: list[int], chosen: torch.Tensor) -> None:
    for row, token in zip(rows, chosen.tolist()):
        tokens[row] = token
