"""Losses of pairs of answers: DPO (Rafailov et al. 2023) and its kin, with a weight for each token (2502.11541, MuSC).

    z = sum over chosen of w_t beta r_t - sum over rejected of w_t beta r_t,  r_t = log p(y_t | x, y_<t) - log p_ref(...)
    loss = -log sigmoid(z), mean over the pairs of a batch

With all weights 1 this is DPO. The weights are data: no gradient flows through them. The sums of the reference are in
`reference`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import groupby
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid

from .heads import IGNORED
from .spec import TrainSpec

_COLUMNS = ["input_ids", "chosen", "rejected", "chosen_weights", "rejected_weights", "reference", "weight"]


def pair_losses(spec: TrainSpec, ratios: torch.Tensor) -> torch.Tensor:
    """The losses [n] of n pairs by `spec.loss`. `ratios` [2n], in nats, n chosen answers first: for "sigmoid" the weighted sums
    of r_t of each answer, otherwise their weighted means, as in TRL. Without a reference r_t is log p(y_t | x, y_<t).
    """
    chosen, rejected = ratios.chunk(2)
    margins, beta = chosen - rejected, spec.beta
    if spec.loss == "ipo":  # Azar et al. 2023, eq. 17
        return (margins - 1 / (2 * beta)).square()
    if spec.loss == "simpo":  # Meng et al. 2024, eq. 6
        return -logsigmoid(beta * margins - spec.gamma)
    if spec.loss == "orpo":  # Hong et al. 2024, eq. 7
        return -beta * logsigmoid(margins - log_complement(chosen) + log_complement(rejected))
    return -logsigmoid(beta * margins)


def log_complement(logps: torch.Tensor) -> torch.Tensor:
    """log(1 - p) of log-probabilities. Of a p above 1 - 1e-6 it is that of this p, without a gradient: fp32 rounds such a p to 1."""
    logps = logps.clamp(max=-1e-6)
    return torch.where(logps > -math.log(2), torch.log(-torch.expm1(logps)), torch.log1p(-torch.exp(logps)))


@torch.no_grad()
def preference_measures(logps: torch.Tensor, ratios: torch.Tensor, beta: float) -> dict[str, float]:
    """Means over the pairs, by the names of TRL. A reward is beta times the ratio of an answer, a margin
    the reward of the chosen answer minus that of the rejected one, and the accuracy the share of margins above 0."""
    chosen, rejected = (beta * ratios).chunk(2)
    logps_chosen, logps_rejected = logps.chunk(2)
    means = {
        "rewardsChosen": chosen,
        "rewardsRejected": rejected,
        "rewardsMargins": chosen - rejected,
        "rewardsAccuracies": (chosen > rejected).float(),
        "logpsChosen": logps_chosen,
        "logpsRejected": logps_rejected,
    }
    return {name: values.mean().item() for name, values in means.items()}


def pair_collator(pad: int) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """A data collator that makes n pairs one batch [2n, tokens], padded on the right, chosen answers first."""

    def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        sides = [(example, side) for side in ("chosen", "rejected") for example in examples]
        prompts = [example["input_ids"] for example, _ in sides]
        answers = [example[side] for example, side in sides]
        weights = [example[f"{side}_weights"] for example, side in sides]
        length = max(len(prompt) + len(answer) for prompt, answer in zip(prompts, answers))

        def padded(before: list[list], after: list[list], fill: float) -> torch.Tensor:
            rows = [one + other for one, other in zip(before, after)]
            return torch.tensor([row + [fill] * (length - len(row)) for row in rows])

        batch = {
            "input_ids": padded(prompts, answers, pad),
            "attention_mask": padded([[1] * len(prompt) for prompt in prompts], [[1] * len(ids) for ids in answers], 0),
            "labels": padded([[IGNORED] * len(prompt) for prompt in prompts], answers, IGNORED),
            "token_weights": padded([[0.0] * len(prompt) for prompt in prompts], weights, 0.0),
        }
        if "reference" in examples[0]:
            batch["reference"] = torch.tensor([example["reference"] for example in examples]).T.flatten()
        return batch

    return collate


def mismatch(examples: list[dict[str, Any]], max_tokens: int) -> None:
    """Gives each row of KTO, as `rejected`, the completion that stands before it and answers another prompt; the first rows have
    that of the last. If all prompts are one, it is the last completion. Prompt and completion are cut to `max_tokens`."""
    runs = [list(run) for _, run in groupby(examples, key=lambda example: example["input_ids"])]
    for before, run in zip(runs[-1:] + runs, runs):
        for example in run:
            example["rejected"] = before[-1]["chosen"][: max_tokens - len(example["input_ids"])]
            example["rejected_weights"] = [1.0] * len(example["rejected"])


def token_losses(model, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The negative log-likelihoods [2n, tokens - 1] of the answers' tokens; 0 elsewhere. `model` returns token losses."""
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"])["nll"]


def weighted_logps(nll: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The weighted sum [2n], in nats, of the log-probabilities of each answer's tokens, from their `token_losses`."""
    return -(batch["token_weights"][:, 1:] * nll).sum(-1)


def mean_ratios(ratios: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weighted means over the tokens of each answer, from their weighted sums."""
    return ratios / batch["token_weights"].sum(-1).clamp(min=1e-6)


def signature_columns(examples: Dataset) -> list[str]:
    """The columns of `examples` that `pair_collator` needs. The Trainer removes all others."""
    return [name for name in _COLUMNS if name in examples.column_names]
