"""The log-probabilities of a preference training's reference model, computed once, before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import Dataset

from .device import computes_in_bf16
from .events import Events
from .models import replacing
from .preferences import pair_collator, token_losses, weighted_logps
from .shard import any_process, is_sharded
from .stop import Stop

_PART = 64  # pairs of one file; a kill costs at most one part


def add_reference(
    examples: Dataset, open_model: Callable[[], torch.nn.Module], pad: int, folder: Path, micro_batch: int, events: Events, stop: Stop
) -> Dataset | None:
    """`examples` with the column `reference`: the `weighted_logps` `[chosen, rejected]` of the model of `open_model`,
    which returns token losses. None if a stop is requested.

    It computes `micro_batch` pairs at once, the longest first. `folder` keeps the parts that are done. Several processes
    share the parts, one each at a time: parts of one turn are about as long.
    """
    world = PartialState()
    lengths = [len(a) + len(b) + 2 * len(prompt) for a, b, prompt in zip(examples["chosen"], examples["rejected"], examples["input_ids"])]
    order = sorted(range(len(examples)), key=lambda at: -lengths[at])
    files = {folder / f"{start // _PART:05}.pt": order[start : start + _PART] for start in range(0, len(order), _PART)}
    folder.mkdir(exist_ok=True)
    missing = gather_object([[file for file in files if not file.is_file()]])[0]  # those that the main process misses
    model = open_model() if missing else None
    if model is not None:
        model = model.eval() if is_sharded(model) else model.to(world.device).eval()
    for turn in range(0, len(missing), world.num_processes):
        if any_process(stop.requested()):
            return None
        own = missing[turn:][world.process_index : world.process_index + 1]
        if own or is_sharded(model):  # a pass of a sharded model needs all processes
            values = _logps([examples[at] for at in files[(own or missing)[0]]], model, pad, micro_batch)
        for file in own:
            with replacing(file) as partial:
                torch.save(values, partial)
        gather_object([None])  # all files of the turn are there
        events.emit("reference", done=sum(file.is_file() for file in files), of=len(files))
    if is_sharded(model):
        model.reshard()
    sums = [[0.0, 0.0]] * len(examples)
    for file, indices in files.items():
        for at, pair in zip(indices, torch.load(file).tolist()):
            sums[at] = pair
    return examples.add_column("reference", sums)


@torch.no_grad()
def _logps(examples: list[dict], model: torch.nn.Module, pad: int, micro_batch: int) -> torch.Tensor:
    """The `weighted_logps` [pairs, 2], in the precision of the training."""
    collate, device, sharded, values = pair_collator(pad), PartialState().device, is_sharded(model), []
    passes = math.ceil((_PART if sharded else len(examples)) / micro_batch)  # processes that share a model make as many
    for number in range(passes):
        rows = examples[number * micro_batch : (number + 1) * micro_batch]
        batch = {name: value.to(device) for name, value in collate(rows or examples[:1]).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=computes_in_bf16() and not sharded):
            sums = weighted_logps(token_losses(model, batch), batch).float().view(2, -1).T.cpu()
        values += [sums] if rows else []
    return torch.cat(values)
