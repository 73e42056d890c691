"""Batch jobs: compute rows in parts that stay in the run folder, and write `answers.jsonl` at the end."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from .device import check_devices
from .events import Events
from .exits import Exit, Refusal, is_out_of_memory, out_of_memory
from .models import replacing
from .spec import EmbedSpec, ScoreSpec, TagSpec
from .stop import Stop

Row = TypeVar("Row")
JobSpec = EmbedSpec | ScoreSpec | TagSpec


@dataclass(frozen=True)
class BatchJob(Generic[Row]):
    """The job of a verb.

    `read` returns all rows. `open` loads the model, unless all parts are done, and returns a function that computes a
    part and writes its file. `answers` makes the output lines from all rows and all part files, in order.
    """

    read: Callable[[], list[Row]]
    size: int  # rows of a part; a kill costs at most one part
    file: str  # format string for the path of a part in the run folder
    open: Callable[[], Callable[[Path, list[Row]], None]]
    answers: Callable[[list[Row], list[Path]], Iterable[str]]


def run_job(spec: JobSpec, stop: Stop, job: BatchJob) -> Exit:
    """Runs `job` and writes `answers.jsonl` in `spec.run`. A killed run resumes after its last part. Raises Refusal."""
    run = Path(spec.run)
    if (run / "answers.jsonl").is_file():
        return Exit.DONE
    events = Events(run / "events.jsonl")
    stop.watch(run / "stop")
    try:
        return _run(spec, run, events, stop, job)
    except Exception as error:
        if is_out_of_memory(error):
            error = out_of_memory(error, "Name a pool whose devices have more memory.")
        code = error.code if isinstance(error, Refusal) else Exit.INTERNAL
        events.emit("error", message=str(error) or type(error).__name__, code=code)
        raise error


@torch.inference_mode()
def _run(spec: JobSpec, run: Path, events: Events, stop: Stop, job: BatchJob) -> Exit:
    check_devices()
    torch.set_num_threads(spec.threads)
    rows, size = job.read(), job.size
    files = [run / job.file.format(part) for part in range(math.ceil(len(rows) / size))]
    missing = [part for part, file in enumerate(files) if not file.is_file()]
    events.emit("start", pid=os.getpid(), resumedFrom=(len(files) - len(missing)) * size or None, steps=len(rows))
    if missing:
        compute = job.open()
        for part in missing:
            if stop.requested():
                stop.clear()
                events.emit("stopped", step=part * size)
                return Exit.INTERRUPTED
            compute(files[part], rows[part * size : (part + 1) * size])
            events.emit("checkpoint", step=min((part + 1) * size, len(rows)))
    answers = job.answers(rows, files)
    with replacing(run / "answers.jsonl") as partial, open(partial, "w") as file:
        file.writelines(answers)
    events.emit("done", step=len(rows), loss=None)
    return Exit.DONE
