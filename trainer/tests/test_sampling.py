"""A token drawn by top-k and top-p is the one that sorting the whole vocabulary gives, and depends on its row alone."""

from __future__ import annotations

import pytest
import torch

from backspin_trainer.sampling import LIKELIEST, Sampling, choose

VOCABULARY = 4 * LIKELIEST


def drawn_by_sorting(logits: torch.Tensor, sampling: Sampling, number: float) -> int:
    ids = sorted(range(VOCABULARY), key=lambda token: -float(logits[token]))
    shares = (logits.double() / sampling.temperature).softmax(-1)[ids]
    if sampling.top_k:
        shares = shares[: sampling.top_k] / shares[: sampling.top_k].sum()
    before = shares.cumsum(-1) - shares
    kept = shares[before < sampling.top_p]
    return ids[int((kept.cumsum(-1) < number * kept.sum()).sum())]


@pytest.mark.parametrize("spread", [0.1, 1, 8])
@pytest.mark.parametrize(("top_p", "top_k"), [(0.9, 0), (0.3, 0), (1, 20), (0.7, 20), (1, 3 * LIKELIEST), (0.9, 600)])
def test_top_k_and_top_p_draw_what_sorting_draws(spread, top_p, top_k):
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(temperature=0.7, top_p=top_p, top_k=top_k)
    logits = spread * torch.randn(20, VOCABULARY, generator=generator)
    numbers = torch.rand(20, generator=generator).tolist()
    tokens = choose(logits.clone(), [(sampling, [], number) for number in numbers])
    assert tokens == [drawn_by_sorting(row, sampling, number) for row, number in zip(logits, numbers)]


def test_a_row_draws_the_same_token_alone_and_among_others():
    generator = torch.Generator().manual_seed(1)
    logits = torch.linspace(0.1, 8, 24)[:, None] * torch.randn(24, VOCABULARY, generator=generator)
    rows = [
        (Sampling(temperature=0.7, top_p=0.9, top_k=top_k), [], number)
        for top_k, number in zip([0, 600] * 12, torch.rand(24, generator=generator).tolist())
    ]
    among = choose(logits.clone(), rows)
    assert among == [choose(logits[[row]].clone(), [rows[row]])[0] for row in range(24)]
