"""The loss of held-out rows: measured, and used to end a training early with its best model."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.utils import gather_object
from datasets import Dataset

from .exits import Exit, Refusal
from .shard import any_process
from .spec import TrainSpec


class Validation:
    """Measures the loss of `held_out` during `training`. If `spec.evaluate` has a patience, the best model is in
    `best-STEP` in the run folder; the Trainer's state, and so each checkpoint, has its loss and its step.
    """

    def __init__(self, training, held_out: Dataset, write: Callable[[Path], None]):
        """`write` writes the model to a new folder."""
        self._training, self._rows, self._write = training, held_out, write
        self._run, self._settings = Path(training.spec.run), training.spec.evaluate

    def begin(self) -> None:
        """Forgets the best model of the checkpoint if its folder is gone, and removes those of later steps."""
        self._rows = self._training._remove_unused_columns(self._rows, "evaluation")
        state = self._training.state
        if state.best_global_step is not None and any_process(not best_folder(self._run, state.best_global_step).is_dir()):
            state.best_metric, state.best_global_step = None, None
        if self._training.accelerator.is_main_process:
            self.forget_others()

    def forget_others(self) -> None:
        """Removes all models but the best."""
        step = self._training.state.best_global_step
        for path in self._run.glob("best-*"):
            if step is None or path != best_folder(self._run, step):
                shutil.rmtree(path)

    def end_step(self) -> tuple[bool, bool]:
        """Measures the loss if it is time to. Returns whether the training is to end, and whether the model is the best so
        far, which a checkpoint must know before the model before it is removed. Raises Refusal if the loss diverges."""
        state, every = self._training.state, self._settings.every
        step = state.global_step
        if step % every and step < state.max_steps:
            return False, False
        started = time.monotonic()
        loss = self.loss()
        seconds = round(time.monotonic() - started, 4)
        self._training.events.emit("evaluation", step=step, loss=loss, rows=len(self._rows), seconds=seconds)
        if not keeps_best(self._training.spec):
            return False, False
        if state.best_metric is None or loss < state.best_metric:
            self._write(best_folder(self._run, step))
            state.best_metric, state.best_global_step = loss, step
            return False, True
        return step - state.best_global_step >= every * self._settings.patience, False

    @torch.no_grad()
    def loss(self) -> float:
        """The loss of all held-out rows as that of one batch. Every process makes as many forward passes."""
        training, rows = self._training, self._rows
        world, rank, size = training.accelerator.num_processes, training.accelerator.process_index, training.args.train_batch_size
        batches = [[rows[at] for at in range(start, min(start + size, len(rows)))] for start in range(0, len(rows), size)]
        items = sum(training.count_items(training.data_collator(batch)) for batch in batches) / len(rows)
        turns = range(0, len(batches), world)
        passes = [(batches[turn:][rank : rank + 1] or batches)[0] for turn in turns]
        training.begin_batch([training.data_collator(batch) for batch in passes], len(batches[rank::world]))
        training.model_wrapped.eval()  # and so the model inside: losses ask the wrapper whether they are of a step
        total = 0.0
        for turn, batch in zip(turns, passes):
            inputs = training._prepare_inputs(training.data_collator(batch))
            loss = training.compute_loss(training.model_wrapped, inputs, num_items_in_batch=items * len(batch))
            total += loss.item() * len(batch) if turn + rank < len(batches) else 0.0
            if turn // world % _TELL_EVERY == _TELL_EVERY - 1:
                training.events.emit("evaluating", done=turn, of=len(batches))
        training.model_wrapped.train()
        loss = sum(gather_object([total])) / len(rows)
        if not math.isfinite(loss):
            raise diverged("The loss of the held-out rows", training.state.global_step)
        return loss


_TELL_EVERY = 64  # forward passes


def keeps_best(spec: TrainSpec) -> bool:
    """Whether the model of the lowest validation loss is the result, and not the last one."""
    return spec.evaluate is not None and spec.evaluate.patience is not None


def best_folder(run: Path, step: int) -> Path:
    return run / f"best-{step}"


def diverged(what: str, step: int) -> Refusal:
    return Refusal(
        Exit.DIVERGED, f"{what} is no longer finite at step {step}; lower learningRate, or look for broken rows."
    )
