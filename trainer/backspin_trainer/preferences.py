"""Direct preference optimisation (Rafailov et al. 2023, DPO), with a weight for each token (2502.11541, MuSC).

    z = sum over chosen of w_t beta r_t - sum over rejected of w_t beta r_t,  r_t = log p(y_t | x, y_<t) - log p_ref(...)
    loss = -log sigmoid(z), mean over the pairs of a batch

With all weights 1 it is DPO. Weights are of the data: no gradient flows through them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy, logsigmoid

from .models import replacing

_COLUMNS = ["input_ids", "chosen", "rejected", "chosen_weights", "rejected_weights"]
_BATCH = 16  # pairs whose reference is computed at once


def preference_loss(ratios: torch.Tensor, beta: float) -> torch.Tensor:
    """`ratios` [2n]: weighted sums of r_t, of n chosen answers and then of the n rejected ones."""
    chosen, rejected = ratios.chunk(2)
    return -logsigmoid(beta * (chosen - rejected)).mean()


def collate(pad: int):
    """Pairs as one batch [2n, ...], chosen ones first. Prompts are padded on their left and answers on their right, so
    that all answers begin in one column, and logits are computed from there on alone."""

    def batch(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        prompts = [example["input_ids"] for example in examples] * 2
        sides = ("chosen", "rejected")
        answers = [example[side] for side in sides for example in examples]
        weights = [example[f"{side}_weights"] for side in sides for example in examples]
        before, after = max(map(len, prompts)), max(map(len, answers))
        rows, mask = [], []
        for prompt, answer in zip(prompts, answers):
            left, right = before - len(prompt), after - len(answer)
            rows.append([pad] * left + prompt + answer + [pad] * right)
            mask.append([0] * left + [1] * (len(prompt) + len(answer)) + [0] * right)
        given = {
            "input_ids": torch.tensor(rows),
            "attention_mask": torch.tensor(mask),
            "token_weights": torch.tensor([row + [0.0] * (after - len(row)) for row in weights], dtype=torch.float32),
        }
        if "reference" in examples[0]:
            given["reference"] = torch.tensor([example["reference"] for example in examples]).T.flatten()
        return given

    return batch


def weighted_logps(model, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weighted sums [2n] of the log-probabilities of the answers' tokens."""
    mask, weights = batch["attention_mask"], batch["token_weights"]
    count = weights.shape[1]
    logits = model(
        input_ids=batch["input_ids"],
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        logits_to_keep=count + 1,
        use_cache=False,
    ).logits[:, :-1]
    nll = cross_entropy(logits.float().transpose(1, 2), batch["input_ids"][:, -count:], reduction="none")
    return -(weights * nll).sum(-1)


def with_reference(examples: Dataset, model, pad: int, file: Path) -> Dataset:
    """The examples with what `model` says of each, `[chosen, rejected]`, computed once and kept in `file`."""
    if not file.is_file():
        together, device = collate(pad), next(model.parameters()).device
        training, sums = model.training, []
        model.eval()
        with torch.no_grad():
            for start in range(0, len(examples), _BATCH):
                rows = [examples[at] for at in range(start, min(start + _BATCH, len(examples)))]
                batch = {name: value.to(device) for name, value in together(rows).items()}
                sums.append(weighted_logps(model, batch).view(2, -1).T.cpu())
        model.train(training)
        with replacing(file) as partial:
            torch.save(torch.cat(sums), partial)
    return examples.add_column("reference", torch.load(file).tolist())


def columns(examples: Dataset) -> list[str]:
    """Those that a batch is made of."""
    return [name for name in (*_COLUMNS, "reference") if name in examples.column_names]
