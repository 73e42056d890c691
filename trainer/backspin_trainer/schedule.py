"""Learning rate by step."""

from __future__ import annotations

import math

from .spec import TrainSpec


def learning_rate(spec: TrainSpec, step: int) -> float:
    """The rate of `step` (1 to steps): linear warm-up to `from`, then linear or cosine decay to `to`.

    The last step has exactly `to` (Humpback, section 3.1: 1e-5 to 9e-6, linear), as do steps after it. Without `to` the
    rate is 0 after the last step, so that every step learns.
    """
    high, low, end = spec.learning_rate.from_, spec.learning_rate.to, spec.steps
    if low is None:
        low, end = 0.0, end + 1
    if step >= end:
        return low
    warm = round(spec.warmup * spec.steps)
    if step <= warm:
        return high * step / warm
    start = max(warm, 1)
    share = (step - start) / (end - start)
    if spec.schedule == "cosine":
        share = 0.5 * (1 - math.cos(math.pi * share))
    return high * (1 - share) + low * share
