"""The training loop: subclasses of TRL's SFTTrainer for texts, for preference pairs and for taggers."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from . import checkpoints, data, preferences, tagger
from .events import Events
from .exits import Exit, Refusal
from .muon import Muon
from .schedule import learning_rate
from .spec import TrainSpec
from .stop import Stop


class Training(SFTTrainer):
    """TRL's SFTTrainer with this package's order of rows, schedule, optimizer, events and sealed checkpoints.

    To the Trainer a run is one epoch over `sample_order()`. So the step is the position in the data, and a resumed run
    skips that many batches.
    """

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, events: Events, stop: Stop, collate=None):
        """`collate` is the data collator of a model that is no language model (None: that of TRL)."""
        self.spec, self.events, self.loss = spec, events, None
        self.checkpoints = Path(spec.run) / "checkpoints"
        cuda, weighted = torch.cuda.is_available(), "weight" in examples.column_names
        super().__init__(
            model=model,
            processing_class=tokenizer,
            train_dataset=examples,
            data_collator=collate,
            callbacks=[_StepCallback(self, stop)],
            compute_loss_func=weighted_nll if weighted else None,
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
                loss_type="chunked_nll" if cuda and collate is None else "nll",
                save_strategy="steps",
                save_steps=spec.checkpoint_every,
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
        )
        self.remove_callback(PrinterCallback)
        if weighted:
            self._signature_columns = ["input_ids", "labels", "weight"]
            self.data_collator = _with_weights(self.data_collator)

    def _get_train_sampler(self, train_dataset=None):
        return data.sample_order(self.train_dataset, self.spec)

    def create_optimizer(self, model=None):
        """Weight decay is for matrices, never for norms. With lr 1 the scheduler's factor is the learning rate."""
        muon = self.spec.optimizer == "muon"
        layers = (self.model.get_input_embeddings(), self.model.get_output_embeddings())
        embedding_ids = {id(layer.weight) for layer in layers if layer is not None}
        matrices, embeddings, rest = [], [], []
        for weight in self.model.parameters():
            if not weight.requires_grad:
                continue
            (rest if weight.dim() < 2 else embeddings if id(weight) in embedding_ids else matrices).append(weight)
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
        """The mean negative log-likelihood (nats) of the batch's labels. It skips TRL's token accuracy and entropy.

        With row weights, `weighted_nll` gets the labels and the weights together.
        """
        inputs = {**inputs, "use_cache": False}
        if "weights" in inputs:
            inputs["labels"] = inputs["labels"], inputs.pop("weights")
        return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)

    def training_step(self, model, inputs, num_items_in_batch=None):
        self.started, self.rate = time.monotonic(), self.optimizer.param_groups[0]["lr"]
        loss = super().training_step(model, inputs, num_items_in_batch)
        losses, tokens = zip(*gather_object([(loss.item(), int(inputs["attention_mask"].sum()))]))
        self.loss, self.tokens = sum(losses) / len(losses), sum(tokens)
        if not math.isfinite(self.loss):
            raise diverged("The loss", self.state.global_step + 1)
        return loss

    def emit_step(self) -> None:
        """`tokens` counts the batch without padding. `seconds` last from the forward pass to the updated weights."""
        seconds = round(time.monotonic() - self.started, 4)
        step, loss, rate, tokens = self.state.global_step, self.loss, self.rate, self.tokens
        self.events.emit("step", step=step, loss=loss, learningRate=rate, tokens=tokens, seconds=seconds)

    def _save_checkpoint(self, model, trial):
        main = self.accelerator.is_main_process

        def write(folder: Path) -> None:
            self.accelerator.wait_for_everyone()  # the main process has made the folder
            self.save_model(str(folder), _internal_call=True)
            self._save_optimizer_and_scheduler(str(folder))
            self._save_rng_state(str(folder))
            if main:
                self.state.save_to_json(str(folder / "trainer_state.json"))
            self.accelerator.wait_for_everyone()  # all files are written

        checkpoints.save(self.checkpoints, self.state.global_step, self.spec.keep_checkpoints, write, seal=main)
        self.events.emit("checkpoint", step=self.state.global_step)


class PreferenceTraining(Training):
    """DPO and token-DPO on pairs of answers; see `preferences` for the loss."""

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, events: Events, stop: Stop):
        super().__init__(spec, model, tokenizer, examples, events, stop)
        self._signature_columns = preferences.signature_columns(examples)
        self.data_collator = preferences.pair_collator(tokenizer.pad_token_id)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        ratios = preferences.weighted_logps(model, inputs) - inputs["reference"]
        return preferences.preference_loss(ratios, self.spec.beta)


class TaggerTraining(Training):
    """A tagger; see `tagger` for the loss."""

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, events: Events, stop: Stop):
        collate = tagger.collator(tagger.labels_of(examples), tokenizer.pad_token_id or 0)
        super().__init__(spec, model, tokenizer, examples, events, stop, collate)
        self._signature_columns = ["input_ids", "words", "tags", "intent"]

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        words = self.accelerator.reduce(tagger.count_words(inputs["tags"]), "mean")
        return tagger.joint_loss(logits, inputs["tags"], inputs["intents"], words)


def weighted_nll(outputs, labels, num_items_in_batch):
    """The sum of the labels' negative log-likelihoods (nats), each times the weight of its row, over their number.

    `labels` is a pair: labels [n, tokens] and row weights [n]. The number of labels does not depend on the weights: two
    rows of a pair with weights 2a and 2(1 - a) add a times the mean of the one and (1 - a) times that of the other.
    """
    labels, weights = labels
    nll = cross_entropy(outputs.logits[:, :-1].float().transpose(1, 2), labels[:, 1:], reduction="none")
    return (weights[:, None] * nll).sum() / num_items_in_batch


def _with_weights(collate):
    """A data collator that adds the row weights [n] to the batch of `collate`."""
    return lambda examples: {
        **collate(examples),
        "weights": torch.tensor([example["weight"] for example in examples], dtype=torch.float32),
    }


class _StepCallback(TrainerCallback):
    """After each step, emits its event. Saves and stops if a stop is requested."""

    def __init__(self, training: Training, stop: Stop):
        self._training, self._stop = training, stop

    def on_step_end(self, args, state, control, **_):
        self._training.emit_step()
        last = state.global_step >= state.max_steps
        control.should_save = control.should_save and not last
        if any_process(self._stop.requested()) and not last:
            control.should_save = control.should_training_stop = True
        return control


def any_process(flag: bool) -> bool:
    """Whether `flag` is true in any process; all processes get the same result."""
    return any(gather_object([flag]))


def diverged(what: str, step: int) -> Refusal:
    return Refusal(
        Exit.DIVERGED, f"{what} is no longer finite at step {step}; lower learningRate, or look for broken rows."
    )
