"""The log-probabilities of a preference training's reference model, computed once, before the first step."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import Dataset

from .device import computes_in_bf16
from .events import Events
from .models import replacing
from .preferences import pair_collator, weighted_logps
from .stop import Stop

_PART = 64  # pairs of one file; a kill costs at most one part
_LOOK_EVERY = 0.05  # seconds between two looks for the parts of other processes


def add_reference(
    examples: Dataset, open_model: Callable[[], torch.nn.Module], pad: int, folder: Path, micro_batch: int, events: Events, stop: Stop
) -> Dataset | None:
    """`examples` with the column `reference`: the `weighted_logps` `[chosen, rejected]` of the model of `open_model`,
    which returns token losses. None if a stop is requested.

    It computes `micro_batch` pairs at once, the longest first. `folder` keeps the parts that are done. Several processes
    share the parts. None of them waits in a barrier for the work of another, since those time out.
    """
    world = PartialState()
    lengths = [len(a) + len(b) + 2 * len(prompt) for a, b, prompt in zip(examples["chosen"], examples["rejected"], examples["input_ids"])]
    order = sorted(range(len(examples)), key=lambda at: -lengths[at])
    files = {folder / f"{start // _PART:05}.pt": order[start : start + _PART] for start in range(0, len(order), _PART)}
    own = list(files)[world.process_index :: world.num_processes]
    missing = [file for file in own if not file.is_file()]
    folder.mkdir(exist_ok=True)
    model = open_model().to(world.device).eval() if missing else None
    while missing and not stop.requested():
        file = missing.pop(0)
        values = _logps([examples[at] for at in files[file]], model, pad, micro_batch)
        with replacing(file) as partial:
            torch.save(values, partial)
        events.emit("reference", done=sum(file.is_file() for file in files), of=len(files))
    while not all(file.is_file() for file in files):
        if stop.requested():
            return None
        time.sleep(_LOOK_EVERY)
    sums = [[0.0, 0.0]] * len(examples)
    for file, indices in files.items():
        for at, pair in zip(indices, torch.load(file).tolist()):
            sums[at] = pair
    return examples.add_column("reference", sums)


@torch.no_grad()
def _logps(examples: list[dict], model: torch.nn.Module, pad: int, micro_batch: int) -> torch.Tensor:
    """The `weighted_logps` [pairs, 2], in the precision of the training."""
    collate, device, values = pair_collator(pad), PartialState().device, []
    for start in range(0, len(examples), micro_batch):
        batch = collate(examples[start : start + micro_batch])
        batch = {name: value.to(device) for name, value in batch.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bf16()):
            values.append(weighted_logps(model, batch).float().view(2, -1).T.cpu())
    return torch.cat(values)
