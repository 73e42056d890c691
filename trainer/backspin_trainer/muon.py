"""One optimizer: Muon for the matrices of the layers, AdamW for all other weights."""

from __future__ import annotations

from collections import defaultdict

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.AdamW):
    """AdamW, but groups with `muon=True` step along the orthogonalised momentum (Jordan et al. 2024, "Muon").

    The factor 0.2 sqrt(max dimension) gives updates the RMS of AdamW's, so one learning rate fits both (Liu et al.
    2025, "Muon is scalable for LLM training", section 2.2). Newton-Schulz runs in fp32 on all matrices of one shape (or
    its transpose) together: on a CPU that is several times faster than one by one.
    """

    def __init__(self, groups: list[dict], momentum: float = 0.95, **adamw):
        super().__init__(groups, **adamw)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            if not group["muon"]:
                continue
            by_shape = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[tuple(sorted(weight.shape))].append(weight)
            for shape, weights in by_shape.items():
                self._step_stacked(weights, shape, group["lr"], group["weight_decay"])
        return super().step(closure)

    def _step_stacked(self, weights: list[torch.Tensor], shape: tuple[int, int], rate: float, decay: float) -> None:
        """Steps `weights`, all of `shape` or its transpose, and clears their gradients, so that AdamW skips them."""
        updates = []
        for weight in weights:
            state = self.state[weight]
            state.setdefault("step", torch.zeros(()))  # AdamW expects it in a loaded state
            momentum = state.setdefault("momentum", torch.zeros_like(weight))
            momentum.mul_(self.momentum).add_(weight.grad)
            update = weight.grad + self.momentum * momentum
            updates.append(update if weight.shape == shape else update.T)
        for weight, update in zip(weights, orthogonal(torch.stack(updates)) * (0.2 * max(shape) ** 0.5)):
            weight.mul_(1 - rate * decay).add_(update if weight.shape == shape else update.T, alpha=-rate)
            weight.grad = None


def orthogonal(matrices: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """About the nearest semi-orthogonal matrices, by Newton-Schulz. `matrices`: [n, rows, columns], rows <= columns."""
    a, b, c = _COEFFICIENTS
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
