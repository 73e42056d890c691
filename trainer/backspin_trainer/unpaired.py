"""KTO (Ethayarajh et al. 2024, 2402.01306): a loss of single completions, each of which is desirable or not.

    r = log p(y | x) - log p_ref(y | x),  z = max(0, mean of r over completions of other prompts)
    loss = 1 - sigmoid(beta (r - z)) of a desirable completion, 1 - sigmoid(beta (z - r)) of another, mean over the rows

z estimates the KL divergence between the model and its reference (eq. 8). It is one number for the whole batch, and no gradient
flows through it. A row has the form of a pair: `chosen` is its completion, `rejected` that of another prompt (`preferences.mismatch`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from . import preferences
from .spec import TrainSpec
from .training import Training

_COLUMNS = ["input_ids", "chosen", "rejected", "chosen_weights", "rejected_weights", "reference", "weight", "desirable"]
_OF_SIDES = ("input_ids", "attention_mask", "labels", "token_weights", "reference")


def kto_losses(ratios: torch.Tensor, desirable: torch.Tensor, z: torch.Tensor | float, beta: float) -> torch.Tensor:
    """The losses [n] of n completions with these sums of log-ratios (nats)."""
    return 1 - torch.sigmoid(beta * torch.where(desirable, ratios - z, z - ratios))


class UnpairedTraining(Training):
    """KTO on rows with one completion each."""

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, *rest):
        super().__init__(spec, model, tokenizer, examples, *rest, _collator(tokenizer.pad_token_id))
        self._signature_columns = [name for name in _COLUMNS if name in examples.column_names]

    def count_items(self, inputs) -> int:
        """The number of rows of a micro-batch."""
        return len(inputs["desirable"])

    @torch.no_grad()
    def begin_batch(self, micro_batches: list[dict], counted: int) -> None:
        """Computes z of the batch, and counts its desirable rows."""
        self.model_wrapped.eval()
        ratios, desirable = [], []
        for micro_batch in micro_batches:
            inputs = self._prepare_inputs({name: value for name, value in micro_batch.items() if name != "weights"})
            ratios.append(self._ratios(self.model_wrapped, _side(inputs, 1)).sum())
            desirable.append(inputs["desirable"])
        self.model_wrapped.train()
        rows, liked = (sum(count(one) for one in desirable[:counted]) for count in (len, torch.sum))
        own = torch.tensor([float(sum(ratios[:counted])), rows, float(liked), counted], dtype=torch.float64)
        total, rows, liked, micro_batches = self.accelerator.reduce(own.to(self.accelerator.device), "sum").tolist()
        self._z = max(0.0, total / rows)
        self._liked, self._disliked, self._of = liked, rows - liked, micro_batches

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        weights, desirable = inputs.pop("weights", None), inputs["desirable"]
        ratios = self._ratios(model, _side(inputs, 0))
        losses = kto_losses(ratios, desirable, self._z, self.spec.beta)
        if model.training:
            self._measure_rewards(self.spec.beta * ratios.detach(), desirable)
        return (losses if weights is None else weights * losses).mean()

    def _ratios(self, model, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        return preferences.weighted_logps(preferences.token_losses(model, inputs), inputs) - inputs["reference"]

    def _measure_rewards(self, rewards: torch.Tensor, desirable: torch.Tensor) -> None:
        """Means over the desirable and over the other rows of the batch, of which a micro-batch may have none."""
        measures = {"kl": self._z}
        if self._liked:
            measures["rewardsChosen"] = float(rewards[desirable].sum()) * self._of / self._liked
        if self._disliked:
            measures["rewardsRejected"] = float(rewards[~desirable].sum()) * self._of / self._disliked
        if self._liked and self._disliked:
            measures["rewardsMargins"] = measures["rewardsChosen"] - measures["rewardsRejected"]
        self.measure(**measures)


def _side(inputs: dict[str, torch.Tensor], side: int) -> dict[str, torch.Tensor]:
    """The completions of the rows (0), or those of other prompts (1)."""
    return {name: inputs[name].chunk(2)[side] for name in _OF_SIDES}


def _collator(pad: int) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    collate = preferences.pair_collator(pad)
    return lambda examples: {**collate(examples), "desirable": torch.tensor([example["desirable"] for example in examples])}
