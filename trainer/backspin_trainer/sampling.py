"""Samples the next token of each row. It depends only on the row's own logits, parameters and random number."""

from __future__ import annotations

from dataclasses import dataclass

import torch


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

    Rows run in three groups by their own parameters, because a sorted row sums in another order.
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
        tempered, ids = _tempered(logits, cut, rows).sort(dim=-1, descending=True, stable=True)
        vocabulary = logits.shape[-1]
        top_k = torch.tensor([[rows[row][0].top_k or vocabulary] for row in cut])
        tempered = tempered.masked_fill(torch.arange(vocabulary) >= top_k, -torch.inf)
        probabilities = tempered.softmax(-1)
        top_p = torch.tensor([[rows[row][0].top_p] for row in cut])
        probabilities = probabilities.masked_fill(probabilities.cumsum(-1) - probabilities >= top_p, 0)
        drawn = _draw(probabilities, [rows[row][2] for row in cut])
        _put(tokens, cut, ids.gather(-1, drawn[:, None])[:, 0])
    return tokens


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
