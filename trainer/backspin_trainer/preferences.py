"""Direct preference optimisation (Rafailov et al. 2023, DPO), with a weight for each token (2502.11541, MuSC).

    z = sum over chosen of w_t beta r_t - sum over rejected of w_t beta r_t,  r_t = log p(y_t | x, y_<t) - log p_ref(...)
    loss = -log sigmoid(z), mean over the pairs of a batch

With all weights 1 this is DPO. The weights are data: no gradient flows through them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn.functional import cross_entropy, logsigmoid

from .adapters import merge
from .models import read_model, replacing
from .spec import MergeSpec, TrainSpec

_COLUMNS = ["input_ids", "chosen", "rejected", "chosen_weights", "rejected_weights"]
_REFERENCE_BATCH = 16  # pairs in one forward pass of the reference model


def preference_loss(ratios: torch.Tensor, beta: float) -> torch.Tensor:
    """The mean loss of n pairs. `ratios` [2n], in nats: the weighted sum of r_t of each answer, n chosen ones first."""
    chosen, rejected = ratios.chunk(2)
    return -logsigmoid(beta * (chosen - rejected)).mean()


def pair_collator(pad: int) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """A data collator that makes n pairs one batch [2n, tokens], chosen answers first.

    It pads prompts on the left and answers on the right. So all answers begin in one column, and the model computes
    logits only from there on.
    """

    def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        prompts = [example["input_ids"] for example in examples] * 2
        sides = ("chosen", "rejected")
        answers = [example[side] for side in sides for example in examples]
        weights = [example[f"{side}_weights"] for side in sides for example in examples]
        prompt_length, answer_length = max(map(len, prompts)), max(map(len, answers))
        rows, mask = [], []
        for prompt, answer in zip(prompts, answers):
            left, right = prompt_length - len(prompt), answer_length - len(answer)
            rows.append([pad] * left + prompt + answer + [pad] * right)
            mask.append([0] * left + [1] * (len(prompt) + len(answer)) + [0] * right)
        padded = [row + [0.0] * (answer_length - len(row)) for row in weights]
        batch = {
            "input_ids": torch.tensor(rows),
            "attention_mask": torch.tensor(mask),
            "token_weights": torch.tensor(padded, dtype=torch.float32),
        }
        if "reference" in examples[0]:
            batch["reference"] = torch.tensor([example["reference"] for example in examples]).T.flatten()
        return batch

    return collate


def weighted_logps(model, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The weighted sum [2n], in nats, of the log-probabilities of each answer's tokens."""
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


def add_reference(spec: TrainSpec, examples: Dataset, model, pad: int) -> Dataset:
    """Adds the column `reference` to `examples`: the `weighted_logps` of the reference model, `[chosen, rejected]`.

    The reference is `spec.reference`, or else `model` before its first step. The run folder keeps the column.
    """
    run = Path(spec.run)
    if spec.reference:
        folder = spec.reference.folder
        if spec.reference.base:
            folder = str(run / "reference")
            if not Path(folder).is_dir():
                merge(MergeSpec(1, spec.reference.folder, spec.reference.base, folder))
        model = read_model(folder, 0.0)
    device = next(model.parameters()).device
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return add_reference_logps(examples, model, pad, run / "reference.pt")
    finally:
        model.to(device)


def add_reference_logps(examples: Dataset, model, pad: int, file: Path) -> Dataset:
    """`examples` with the `weighted_logps` of `model` as `reference`: from `file`, which it writes if it is missing."""
    if not file.is_file():
        collate, device = pair_collator(pad), next(model.parameters()).device
        training, sums = model.training, []
        model.eval()
        with torch.no_grad():
            for start in range(0, len(examples), _REFERENCE_BATCH):
                rows = [examples[at] for at in range(start, min(start + _REFERENCE_BATCH, len(examples)))]
                batch = {name: value.to(device) for name, value in collate(rows).items()}
                sums.append(weighted_logps(model, batch).view(2, -1).T.cpu())
        model.train(training)
        with replacing(file) as partial:
            torch.save(torch.cat(sums), partial)
    return examples.add_column("reference", torch.load(file).tolist())


def signature_columns(examples: Dataset) -> list[str]:
    """The columns of `examples` that `pair_collator` needs. The Trainer removes all others."""
    return [name for name in (*_COLUMNS, "reference") if name in examples.column_names]
