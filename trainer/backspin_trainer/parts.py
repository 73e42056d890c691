"""Batch verbs: rows are worked off in parts that stay in the run folder, and end as the lines of `answers.jsonl`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from .events import Events
from .exits import Exit, Refusal
from .models import replacing
from .spec import EmbedSpec, ScoreSpec
from .stop import Stop

Row = TypeVar("Row")


@dataclass(frozen=True)
class Batch(Generic[Row]):
    """What a batch verb does: `read` gives all rows; `open` loads the model, once, where a part is still to do, and
    gives what works a part off and writes its file; `answers` are lines made of all rows and files, in order."""

    read: Callable[[], list[Row]]
    size: int  # rows of a part: what a kill costs at most
    file: str  # of a part, in the run folder, with its number to be put in
    open: Callable[[], Callable[[Path, list[Row]], None]]
    answers: Callable[[list[Row], list[Path]], Iterable[str]]


def work_off(spec: EmbedSpec | ScoreSpec, stop: Stop, batch: Batch) -> Exit:
    """Writes `answers.jsonl` in `spec.run`. Parts that are done stay, so a killed run goes on. Raises Refusal."""
    run = Path(spec.run)
    if (run / "answers.jsonl").is_file():
        return Exit.DONE
    events = Events(run / "events.jsonl")
    stop.watch(run / "stop")
    try:
        return _work_off(spec, run, events, stop, batch)
    except Exception as error:
        code = error.code if isinstance(error, Refusal) else Exit.INTERNAL
        events.say("error", message=str(error) or type(error).__name__, code=code)
        raise


@torch.inference_mode()
def _work_off(spec: EmbedSpec | ScoreSpec, run: Path, events: Events, stop: Stop, batch: Batch) -> Exit:
    torch.set_num_threads(spec.threads)
    rows, size = batch.read(), batch.size
    files = [run / batch.file.format(part) for part in range(math.ceil(len(rows) / size))]
    left = [part for part, file in enumerate(files) if not file.is_file()]
    events.say("start", pid=os.getpid(), resumedFrom=(len(files) - len(left)) * size or None, steps=len(rows))
    if left:
        work = batch.open()
        for part in left:
            if stop.requested():
                stop.obeyed()
                events.say("stopped", step=part * size)
                return Exit.INTERRUPTED
            work(files[part], rows[part * size : (part + 1) * size])
            events.say("checkpoint", step=min((part + 1) * size, len(rows)))
    answers = batch.answers(rows, files)
    with replacing(run / "answers.jsonl") as partial, open(partial, "w") as file:
        file.writelines(answers)
    events.say("done", step=len(rows), loss=None)
    return Exit.DONE
