"""A token drawn by top-k, min-p and top-p is the one that sorting the whole vocabulary gives, and depends on its row alone."""

from __future__ import annotations

import pytest
import torch

from backspin_trainer.sampling import LIKELIEST, Row, Sampling, choose

VOCABULARY = 4 * LIKELIEST


def drawn_by_sorting(logits: torch.Tensor, sampling: Sampling, number: float) -> int:
    ids = sorted(range(VOCABULARY), key=lambda token: -float(logits[token]))
    shares = (logits.double() / sampling.temperature).softmax(-1)[ids]
    if sampling.top_k:
        shares = shares[: sampling.top_k] / shares[: sampling.top_k].sum()
    if sampling.min_p:
        shares = shares[shares >= sampling.min_p * shares[0]]
        shares = shares / shares.sum()
    before = shares.cumsum(-1) - shares
    kept = shares[before < sampling.top_p]
    return ids[int((kept.cumsum(-1) < number * kept.sum()).sum())]


@pytest.mark.parametrize("spread", [0.1, 1, 8])
@pytest.mark.parametrize(
    ("top_p", "top_k", "min_p"),
    [
        (0.9, 0, 0),
        (0.3, 0, 0),
        (1, 20, 0),
        (0.7, 20, 0),
        (1, 3 * LIKELIEST, 0),
        (0.9, 600, 0),
        (1, 0, 0.2),
        (1, 0, 1e-3),
        (0.8, 0, 0.05),
        (0.8, 20, 0.3),
    ],
)
def test_top_k_min_p_and_top_p_draw_what_sorting_draws(spread, top_p, top_k, min_p):
    generator = torch.Generator().manual_seed(0)
    sampling = Sampling(temperature=0.7, top_p=top_p, top_k=top_k, min_p=min_p)
    logits = spread * torch.randn(20, VOCABULARY, generator=generator)
    numbers = torch.rand(20, generator=generator).tolist()
    tokens = choose(logits.clone(), [Row(sampling, [], [], number) for number in numbers])
    assert tokens == [drawn_by_sorting(row, sampling, number) for row, number in zip(logits, numbers)]


def test_a_row_draws_the_same_token_alone_and_among_others():
    generator = torch.Generator().manual_seed(1)
    logits = torch.linspace(0.1, 8, 24)[:, None] * torch.randn(24, VOCABULARY, generator=generator)
    rows = [
        Row(Sampling(temperature=0.7, top_p=0.9, top_k=top_k), [], [], number)
        for top_k, number in zip([0, 600] * 12, torch.rand(24, generator=generator).tolist())
    ]
    among = choose(logits.clone(), rows)
    assert among == [choose(logits[[row]].clone(), [rows[row]])[0] for row in range(24)]


def test_penalties_are_taken_from_tokens_of_the_answer_once_and_for_each_time():
    logits = torch.tensor([[4.0, 3.5, 3.0, 0.0]])

    def likeliest(answer: list[int], **penalties: float) -> int:
        return choose(logits.clone(), [Row(Sampling(temperature=0, **penalties), [0, 1, 2], answer, 1.0)])[0]

    assert likeliest([], presence_penalty=2, frequency_penalty=2) == 0  # the prompt counts for neither
    assert likeliest([0, 0], presence_penalty=0.4) == 0
    assert likeliest([0, 0], frequency_penalty=0.4) == 1
    assert likeliest([0, 1], presence_penalty=1.1) == 2
    assert likeliest([3], presence_penalty=-2, frequency_penalty=-2) == 0
    assert likeliest([3, 3], presence_penalty=-1, frequency_penalty=-2) == 3


def test_a_token_that_may_not_come_next_is_never_drawn_and_the_others_keep_their_shares():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(1, VOCABULARY, generator=generator)
    numbers = torch.rand(400, generator=generator).tolist()
    rows = [Row(Sampling(), [], [], number, [5, 70, 900]) for number in numbers]
    tokens = choose(logits.repeat(400, 1), rows)
    shares = logits[0, [5, 70, 900]].softmax(-1)
    for token, share in zip([5, 70, 900], shares.tolist()):
        assert tokens.count(token) / 400 == pytest.approx(share, abs=0.08)
    greedy = Row(Sampling(temperature=0), [], [], 1.0, [5, 70, 900])
    assert choose(logits.clone(), [greedy]) == [[5, 70, 900][int(shares.argmax())]]
