"""The training loop: subclasses of TRL's SFTTrainer for texts, for preference pairs and for taggers."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from . import checkpoints, data, preferences, tagger
from .device import computes_in_bf16, peak_memory, recomputes_activations
from .events import Events
from .heads import IGNORED
from .muon import Muon
from .schedule import learning_rate
from .spec import TrainSpec
from .shard import is_sharded, load_optimizer, load_weights, save_shards, whole
from .stop import Stop
from .validation import Validation, diverged


class Training(SFTTrainer):
    """TRL's SFTTrainer with this package's order of rows, schedule, optimizer, events and sealed checkpoints.

    To the Trainer a run is one epoch over `sample_order()`. So the step is the position in the data, and a resumed run
    skips that many batches. A loss is that of one micro-batch, such that the mean over all micro-batches of a batch, on
    all devices, is the loss of the batch.
    """

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, events: Events, stop: Stop, write: Callable, collate=None):
        """`write` writes the model to a new folder. `collate` is the data collator (None: that of TRL for language models)."""
        self.spec, self.events, self.loss, self.grad_norm, self.has_ended = spec, events, None, None, False
        examples, held_out = data.split(examples)
        self.validation = None if held_out is None else Validation(self, held_out, write)
        self.checkpoints = Path(spec.run) / "checkpoints"
        cuda, world, micro = torch.cuda.is_available(), PartialState().num_processes, micro_batch(spec)
        super().__init__(
            model=model,
            processing_class=tokenizer,
            train_dataset=examples,
            data_collator=collate,
            callbacks=[_StepCallback(self, stop)],
            args=SFTConfig(
                output_dir=spec.run,
                max_steps=spec.steps,
                per_device_train_batch_size=micro,
                gradient_accumulation_steps=spec.batch // world // micro,
                max_grad_norm=spec.clip or 0.0,
                seed=spec.seed,
                use_cpu=not cuda,
                ddp_find_unused_parameters=False,
                bf16=computes_in_bf16(),
                gradient_checkpointing=recomputes_activations(),
                loss_type="nll",
                save_strategy="steps",
                save_steps=spec.checkpoint_every,
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # the Trainer divides each loss by the number of micro-batches
        self._begin_step()
        self._saved_at, self._saving_seconds = time.monotonic(), 0.0
        if "weight" in examples.column_names:
            self._signature_columns = ["input_ids", "labels", "weight"]
            self.data_collator = _with_weights(self.data_collator)

    def _get_train_sampler(self, train_dataset=None):
        return data.sample_order(self.train_dataset, self.spec)

    def create_optimizer(self, model=None):
        """Weight decay is for matrices, never for norms. With lr 1 the scheduler's factor is the learning rate."""
        muon = self.spec.optimizer == "muon"
        layers = (self.model.get_input_embeddings(), self.model.get_output_embeddings())
        embedding_ids = {id(layer.weight) for layer in layers if layer is not None}
        matrices, others, rest = [], [], []
        for weight in self.model.parameters():
            if not weight.requires_grad:
                continue
            is_matrix = weight.dim() == 2 and id(weight) not in embedding_ids
            (rest if weight.dim() < 2 else matrices if is_matrix else others).append(weight)
        decay = self.spec.weight_decay
        groups = [
            {"params": matrices, "weight_decay": decay, "muon": muon},
            {"params": others, "weight_decay": decay, "muon": False},
            {"params": rest, "weight_decay": 0.0, "muon": False},
        ]
        if self.spec.optimizer == "adamw-8bit":
            from bitsandbytes.optim import AdamW8bit

            self.optimizer = AdamW8bit(groups, lr=1.0, betas=self.spec.betas)
        else:
            self.optimizer = (Muon if muon else torch.optim.AdamW)(groups, lr=1.0, betas=self.spec.betas, fused=True)
        return self.optimizer

    def create_scheduler(self, num_training_steps, optimizer=None):
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda done: learning_rate(self.spec, done + 1)
        )
        return self.lr_scheduler

    def _get_num_items_in_batch(self, batch_samples, device):
        """The number of items that `count_items` finds in the batch, as a mean over all of its micro-batches."""
        self.begin_batch(batch_samples, len(batch_samples))
        counts = torch.tensor(float(sum(self.count_items(inputs) for inputs in batch_samples)), device=device)
        return self.accelerator.reduce(counts, "mean") / len(batch_samples)

    def begin_batch(self, micro_batches: list[dict], counted: int) -> None:
        """For a loss that depends on the whole batch: sees its micro-batches on this device before their losses are computed.
        Only the first `counted` are of the batch; the others let all devices make as many passes."""

    def count_items(self, inputs) -> int:
        """The number of labels in a micro-batch."""
        return int((inputs["labels"][:, 1:] != IGNORED).sum())

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        weights = inputs.pop("weights", None)
        return mean_nll(model(**inputs)["nll"], weights, num_items_in_batch)

    def training_step(self, model, inputs, num_items_in_batch=None):
        if self._started is None:
            self._started, self._rate = time.monotonic(), self.optimizer.param_groups[0]["lr"]
        mask = inputs["attention_mask"]
        tokens = int(mask.sum())
        self._count(tokens=tokens, places=tokens if self.spec.packing else mask.numel())
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._count(loss=loss.item())
        return loss

    def measure(self, **means: float) -> None:
        """Adds means over a micro-batch to the event of the step, which has their mean over the batch."""
        self._measures.update(means)
        self._micro_batches += 1

    def _count(self, **counts: float) -> None:
        self._counts.update(counts)

    def _begin_step(self) -> None:
        self._started: float | None = None
        self._counts, self._measures, self._micro_batches = Counter(), Counter(), 0

    def _get_grad_norm(self, model, grad_norm=None):
        self.grad_norm = float(whole(super()._get_grad_norm(model, grad_norm)))
        return self.grad_norm

    def end_step(self, is_stopping: bool) -> tuple[bool, bool]:
        """Emits the event of the step. Returns whether any process is stopping, and whether any finds that a checkpoint
        is due. Raises Refusal if the loss diverges.

        `loss`, and what preferences measure, are means over the batch. `gradNorm` is that before clipping. `tokens` counts
        the batch without padding, `padding` is the share of padding in what is computed. `seconds` last from the first
        forward pass to the updated weights, `memory` is the peak of one device since the start, in bytes.
        """
        seconds, step = round(time.monotonic() - self._started, 4), self.state.global_step
        own = (self._counts, self._measures, self._micro_batches, peak_memory(), is_stopping, self._is_checkpoint_due())
        counts, measures, micro_batches, memory, stopping, due = zip(*gather_object([own]))
        total = sum(counts, Counter())
        self.loss = sum(count["loss"] for count in counts) / len(counts)
        if not math.isfinite(self.loss):
            raise diverged("The loss", step)
        means = {name: sum(own[name] for own in measures) / sum(micro_batches) for name in measures[0]}
        self.events.emit(
            "step",
            step=step,
            loss=self.loss,
            gradNorm=self.grad_norm if math.isfinite(self.grad_norm) else None,
            learningRate=self._rate,
            tokens=total["tokens"],
            padding=round(1 - total["tokens"] / total["places"], 4),
            seconds=seconds,
            memory=max(memory),
            **means,
        )
        self._begin_step()
        return any(stopping), any(due)

    def _is_checkpoint_due(self) -> bool:
        """Whether the last checkpoint is old, by the clock. Writing takes a twentieth of the time at most."""
        age = time.monotonic() - self._saved_at
        return age > max(self.spec.checkpoint_seconds, 20 * self._saving_seconds)

    def _save_checkpoint(self, model, trial):
        main = self.accelerator.is_main_process

        def write(folder: Path) -> None:
            self.accelerator.wait_for_everyone()  # the main process has made the folder
            if is_sharded(self.model):
                save_shards(folder, self.model, self.optimizer)
            else:
                self.save_model(str(folder), _internal_call=True)
                self._save_optimizer_and_scheduler(str(folder))
            self._save_rng_state(str(folder))
            if main:
                self.state.save_to_json(str(folder / "trainer_state.json"))
                torch.save(self.lr_scheduler.state_dict(), folder / "scheduler.pt")
            self.accelerator.wait_for_everyone()  # all files are written

        started = time.monotonic()
        checkpoints.save(self.checkpoints, self.state.global_step, self.spec.keep_checkpoints, write, seal=main)
        self._saved_at = time.monotonic()
        self._saving_seconds = self._saved_at - started
        if self.validation and main:
            self.validation.forget_others()
        self.events.emit("checkpoint", step=self.state.global_step)


    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        if not is_sharded(self.model):
            return super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_weights(Path(resume_from_checkpoint), self.model)

    def _load_optimizer_and_scheduler(self, checkpoint):
        if checkpoint is None or not is_sharded(self.model):
            return super()._load_optimizer_and_scheduler(checkpoint)
        load_optimizer(Path(checkpoint), self.model, self.optimizer)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))


class PreferenceTraining(Training):
    """DPO, token-DPO and their kin on pairs of answers; see `preferences` for the losses."""

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, *rest):
        super().__init__(spec, model, tokenizer, examples, *rest, preferences.pair_collator(tokenizer.pad_token_id))
        self._signature_columns = preferences.signature_columns(examples)

    def count_items(self, inputs) -> int:
        """The number of labels in the chosen answers of a micro-batch."""
        chosen, _ = inputs["labels"].chunk(2)
        return int((chosen != IGNORED).sum())

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        weights = inputs.pop("weights", None)
        nll = preferences.token_losses(model, inputs)
        logps = preferences.weighted_logps(nll, inputs)
        ratios = logps - inputs["reference"] if self.spec.has_reference else preferences.mean_ratios(logps, inputs)
        if model.training:
            self.measure(**preferences.preference_measures(logps, ratios, self.spec.beta))
        if self.spec.loss == "ipo":
            ratios = preferences.mean_ratios(ratios, inputs)
        losses = preferences.pair_losses(self.spec, ratios)
        loss = (losses if weights is None else weights * losses).mean()
        if self.spec.sft_share:
            loss = loss + self.spec.sft_share * mean_nll(nll.chunk(2)[0], weights, num_items_in_batch)
        return loss


class TaggerTraining(Training):
    """A tagger; see `tagger` for the loss."""

    def __init__(self, spec: TrainSpec, model, tokenizer, examples, *rest):
        collate = tagger.collator(tagger.labels_of(examples), tokenizer.pad_token_id or 0)
        super().__init__(spec, model, tokenizer, examples, *rest, collate)
        self._signature_columns = ["input_ids", "words", "tags", "intent"]

    def count_items(self, inputs) -> int:
        """The number of tagged words."""
        return int(tagger.count_words(inputs["tags"]))

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        return tagger.joint_loss(logits, inputs["tags"], inputs["intents"], num_items_in_batch)


def mean_nll(nll: torch.Tensor, weights: torch.Tensor | None, count: torch.Tensor | float) -> torch.Tensor:
    """The sum of negative log-likelihoods [n, tokens], each times the weight [n] of its row, over the number of labels.

    The number does not depend on the weights: two rows of a pair with weights 2a and 2(1 - a) add a times the mean of the
    one and (1 - a) times that of the other.
    """
    return (nll if weights is None else weights[:, None] * nll).sum() / count


def micro_batch(spec: TrainSpec) -> int:
    """The rows that a device computes at once: the most that divide its share of the batch and are allowed."""
    share = spec.batch // PartialState().num_processes
    most = min(share, spec.micro_batch or share)
    return max(rows for rows in range(1, most + 1) if share % rows == 0)


def _with_weights(collate):
    """A data collator that adds the row weights [n] to the batch of `collate`."""
    return lambda examples: {
        **collate(examples),
        "weights": torch.tensor([example["weight"] for example in examples], dtype=torch.float32),
    }


class _StepCallback(TrainerCallback):
    """After each step, emits its event. Saves if the last checkpoint is old, and saves and stops if a stop is requested."""

    def __init__(self, training: Training, stop: Stop):
        self._training, self._stop = training, stop

    def on_train_begin(self, args, state, control, **_):
        if self._training.validation:
            self._training.validation.begin()

    def on_step_end(self, args, state, control, **_):
        stopping, due = self._training.end_step(self._stop.requested())
        validation = self._training.validation
        ended, best_so_far = validation.end_step() if validation else (False, False)
        last = ended or state.global_step >= state.max_steps
        self._training.has_ended = last
        control.should_save = (control.should_save or due or best_so_far) and not last
        if stopping or ended:
            control.should_save, control.should_training_stop = not last, True
        return control
