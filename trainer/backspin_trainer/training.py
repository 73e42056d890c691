"""How `train` goes step by step: TRL's trainer, for texts and for preferences, with what this package has of its own."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from . import checkpoints, data, preferences
from .events import Events
from .exits import Exit, Refusal
from .muon import Muon
from .schedule import learning_rate
from .spec import TrainSpec
from .stop import Stop


class Training(SFTTrainer):
    """TRL's trainer with this package's order of rows, schedule, optimizer, events and sealed checkpoints.

    The run is one epoch of `order()`'s batches, so the position in the data is the step, and resuming skips that far.
    """

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, events: Events, stop: Stop):
        self.spec, self.events, self.loss = spec, events, None
        self.checkpoints = Path(spec.run) / "checkpoints"
        cuda = torch.cuda.is_available()
        super().__init__(
            model=model,
            processing_class=tokenizer,
            train_dataset=examples,
            callbacks=[_Steps(self, stop)],
            args=SFTConfig(
                output_dir=spec.run,
                max_steps=spec.steps,
                per_device_train_batch_size=spec.batch // PartialState().num_processes,
                max_grad_norm=spec.clip or 0.0,
                seed=spec.seed,
                use_cpu=not cuda,
                ddp_find_unused_parameters=False,
                bf16=cuda and torch.cuda.is_bf16_supported(),
                gradient_checkpointing=cuda,
                loss_type="chunked_nll" if cuda else "nll",
                save_strategy="steps",
                save_steps=spec.checkpoint_every,
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
        )
        self.remove_callback(PrinterCallback)
        if "weight" in examples.column_names:
            self._signature_columns = ["input_ids", "labels", "weight"]
            self.data_collator = _with_weights(self.data_collator)

    def _get_train_sampler(self, train_dataset=None):
        return data.order(self.train_dataset, self.spec)

    def create_optimizer(self, model=None):
        """Weight decay on matrices, never on norms. At a base rate of 1 the scheduler's factor is the rate itself."""
        muon = self.spec.optimizer == "muon"
        ends = {id(end.weight) for end in (self.model.get_input_embeddings(), self.model.get_output_embeddings())}
        matrices, embeddings, rest = [], [], []
        for weight in self.model.parameters():
            if not weight.requires_grad:
                continue
            (rest if weight.dim() < 2 else embeddings if id(weight) in ends else matrices).append(weight)
        decay = self.spec.weight_decay
        self.optimizer = (Muon if muon else torch.optim.AdamW)(
            [
                {"params": matrices, "weight_decay": decay, "muon": muon},
                {"params": embeddings, "weight_decay": decay, "muon": False},
                {"params": rest, "weight_decay": 0.0, "muon": False},
            ],
            lr=1.0,
            betas=self.spec.betas,
            fused=True,
        )
        return self.optimizer

    def create_scheduler(self, num_training_steps, optimizer=None):
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda done: learning_rate(self.spec, done + 1)
        )
        return self.lr_scheduler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The mean negative log-likelihood of the batch's labels, without the accuracy and entropy that TRL adds.

        Each label counts as often as the weight of its row says, and once in what the sum is divided by: two rows of
        one pair with the weights 2a and 2(1 - a) give a times the mean of the one and (1 - a) times that of the other.
        """
        weights, inputs = inputs.get("weights"), {name: value for name, value in inputs.items() if name != "weights"}
        self.compute_loss_func = None if weights is None else partial(weighted_nll, weights=weights)
        return Trainer.compute_loss(self, model, {**inputs, "use_cache": False}, return_outputs, num_items_in_batch)

    def training_step(self, model, inputs, num_items_in_batch=None):
        self.started, self.rate = time.monotonic(), self.optimizer.param_groups[0]["lr"]
        loss = super().training_step(model, inputs, num_items_in_batch)
        losses, tokens = zip(*gather_object([(loss.item(), int(inputs["attention_mask"].sum()))]))
        self.loss, self.tokens = sum(losses) / len(losses), sum(tokens)
        if not math.isfinite(self.loss):
            raise diverged("The loss", self.state.global_step + 1)
        return loss

    def say_step(self) -> None:
        """`tokens` counts the batch without its padding; `seconds` is from forward pass to updated weights."""
        seconds = round(time.monotonic() - self.started, 4)
        step, loss, rate, tokens = self.state.global_step, self.loss, self.rate, self.tokens
        self.events.say("step", step=step, loss=loss, learningRate=rate, tokens=tokens, seconds=seconds)

    def _save_checkpoint(self, model, trial):
        main = self.accelerator.is_main_process

        def write(folder: Path) -> None:
            self.accelerator.wait_for_everyone()  # the folder is there
            self.save_model(str(folder), _internal_call=True)
            self._save_optimizer_and_scheduler(str(folder))
            self._save_rng_state(str(folder))
            if main:
                self.state.save_to_json(str(folder / "trainer_state.json"))
            self.accelerator.wait_for_everyone()  # and whole

        checkpoints.save(self.checkpoints, self.state.global_step, self.spec.keep_checkpoints, write, seal=main)
        self.events.say("checkpoint", step=self.state.global_step)


class Preferring(Training):
    """The same on pairs of answers, with the loss of `preferences`."""

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, events: Events, stop: Stop):
        super().__init__(spec, model, tokenizer, examples, events, stop)
        self._signature_columns = preferences.columns(examples)
        self.data_collator = preferences.collate(tokenizer.pad_token_id)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        ratios = preferences.weighted_logps(model, inputs) - inputs["reference"]
        return preferences.preference_loss(ratios, self.spec.beta)


def weighted_nll(outputs, labels, num_items_in_batch, weights):
    """Negative log-likelihoods of the labels times the weights of their rows, summed, over the number of labels."""
    nll = cross_entropy(outputs.logits[:, :-1].float().transpose(1, 2), labels[:, 1:], reduction="none")
    return (weights[:, None] * nll).sum() / num_items_in_batch


def _with_weights(collate):
    """What `collate` makes of examples, and their weights."""
    return lambda examples: {
        **collate(examples),
        "weights": torch.tensor([example["weight"] for example in examples], dtype=torch.float32),
    }


class _Steps(TrainerCallback):
    """After each step: the event, and the order to save and stop if someone asked for it."""

    def __init__(self, training: Training, stop: Stop):
        self._training, self._stop = training, stop

    def on_step_end(self, args, state, control, **_):
        self._training.say_step()
        last = state.global_step >= state.max_steps
        control.should_save = control.should_save and not last
        if anywhere(self._stop.requested()) and not last:
            control.should_save = control.should_training_stop = True
        return control


def anywhere(asked: bool) -> bool:
    """Whether any of the processes says so; all of them hear the same."""
    return any(gather_object([asked]))


def diverged(what: str, step: int) -> Refusal:
    return Refusal(
        Exit.DIVERGED, f"{what} is no longer finite at step {step}; lower learningRate, or look for broken rows."
    )
