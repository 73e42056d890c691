"""The `train` verb: SFT, preferences and pre-training, of all weights or of an adapter, that survive any kill, bit for bit.

Started by `accelerate launch` it is several processes, one for each device, that share every batch. The first of them speaks
for all: its events, its files and its exit code are those of the training.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch.nn.functional import cross_entropy
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils.logging import disable_progress_bar
from trl import SFTConfig, SFTTrainer

from . import checkpoints, data, preferences
from .adapters import adapt, merge, resume, write_adapter
from .events import Events
from .exits import Exit, Refusal
from .models import make_model, read_model, replacing, write_model
from .muon import Muon
from .schedule import learning_rate
from .spec import MergeSpec, ModelFolders, TrainSpec
from .stop import Stop
from .tokens import check_chat_template, read_tokenizer, tokenizer_folder


def train(spec: TrainSpec, stop: Stop) -> Exit:
    """Runs `spec` to its end, or to a checkpoint where `stop` asks for it. Raises Refusal for every other end."""
    run = Path(spec.run)
    if (run / "model").is_dir():
        return Exit.DONE
    main = os.environ.get("RANK", "0") == "0"
    events = Events(run / "events.jsonl" if main else Path(os.devnull))
    stop.watch(run / "stop")
    try:
        ended = _train(spec, run, events, stop)
    except Exception as error:
        code = error.code if isinstance(error, Refusal) else Exit.INTERNAL
        events.say("error", message=str(error) or type(error).__name__, code=code)
        raise
    return ended if main else Exit.DONE  # the launcher ends the first when another fails


def _train(spec: TrainSpec, run: Path, events: Events, stop: Stop) -> Exit:
    torch.set_num_threads(spec.threads)
    world = PartialState(cpu=not torch.cuda.is_available())
    if spec.batch % world.num_processes:
        raise Refusal(
            Exit.SPEC,
            f"Spec key 'batch' is {spec.batch}, which {world.num_processes} devices cannot share; make it a multiple.",
        )
    disable_progress_bar()
    tokens = tokenizer_folder(ModelFolders(spec.from_, spec.base)) if spec.from_ else spec.init.tokenizer
    tokenizer = read_tokenizer(tokens)
    if spec.objective != "lm":
        check_chat_template(tokenizer, tokens)
    read = data.read_examples(spec, tokenizer)
    if not read.left or (read.refused if spec.rows is None else read.left != spec.rows):
        with world.main_process_first():  # the others are ended with it
            raise _refusal(spec, run, read)
    examples = read.rows
    model = _open_model(spec, run, tokenizer)
    with world.main_process_first():
        resumed = checkpoints.newest(run / "checkpoints")
    step = resumed[0] if resumed else None
    events.say("start", pid=os.getpid(), resumedFrom=step, steps=spec.steps, truncated=read.truncated)
    if not _anywhere(stop.requested()):
        if spec.prefers:
            with world.main_process_first():
                examples = _with_reference(spec, run, model, examples, tokenizer.pad_token_id)
        training = (Preferring if spec.prefers else Training)(spec, model, tokenizer, examples, events, stop)
        training.train(resume_from_checkpoint=str(resumed[1]) if resumed else None)
        step = training.state.global_step
    if not world.is_main_process:
        return Exit.DONE
    if step != spec.steps:
        stop.obeyed()
        events.say("stopped", step=step or 0)
        return Exit.INTERRUPTED
    if not all(weight.isfinite().all() for weight in model.parameters()):
        raise _diverged("A weight", spec.steps)
    (write_adapter if spec.lora else write_model)(model, tokens, run / "model")
    events.say("done", step=step, loss=training.loss)
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    return Exit.DONE


def _refusal(spec: TrainSpec, run: Path, read: data.Examples) -> Refusal:
    """Rows cannot be trained on, and whoever gave them does not know it: which ones, for who reckons anew without them."""
    with replacing(run / "refused.jsonl") as partial:
        partial.write_text("".join(json.dumps(one) + "\n" for one in read.refused))
    if not read.refused:
        return Refusal(Exit.DATA, f"{spec.data} holds no rows to train on; give at least one.")
    reasons = Counter(one["reason"] for one in read.refused)
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    first = read.refused[0]
    return Refusal(
        Exit.DATA,
        f"{spec.data}:{first['line']} {first['evidence']}. It leaves {read.left} rows to train on (refused: {counts}), and "
        f"the spec counts on {spec.rows or 'all'}: mend those that refused.jsonl names, or reckon without them.",
    )


def _open_model(spec: TrainSpec, run: Path, tokenizer):
    """The model that a run trains. What an adapter is merged into first is in the run folder as `base` afterwards."""
    merged, whole = run / "base", spec.base or spec.from_
    if spec.base and spec.adapter == "merge":
        with PartialState().main_process_first():
            if not merged.is_dir():
                merge(MergeSpec(1, spec.from_, spec.base, str(merged)))
        whole = str(merged)
    model = read_model(whole, spec.dropout) if whole else make_model(spec.init, tokenizer, spec.dropout)
    context = getattr(model.config, "max_position_embeddings", spec.max_tokens)
    if spec.max_tokens > context:
        raise Refusal(
            Exit.SPEC, f"Spec key 'maxTokens' is {spec.max_tokens}, but the model's context is {context}; lower it."
        )
    if spec.lora:
        model = adapt(model, spec.lora, spec.seed)
        if spec.base and spec.adapter == "continue":
            resume(model, spec.from_)
    return model


def _with_reference(spec: TrainSpec, run: Path, model, examples, pad: int):
    """What the reference says of each pair: the model that the run begins with, or another."""
    if spec.reference:
        whole, base = spec.reference.folder, spec.reference.base
        if base:
            whole = str(run / "reference")
            if not Path(whole).is_dir():
                merge(MergeSpec(1, spec.reference.folder, base, whole))
        model = read_model(whole, 0.0)
    home = next(model.parameters()).device
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return preferences.with_reference(examples, model, pad, run / "reference.pt")
    finally:
        model.to(home)


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
            raise _diverged("The loss", self.state.global_step + 1)
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
        if _anywhere(self._stop.requested()) and not last:
            control.should_save = control.should_training_stop = True
        return control


def _anywhere(asked: bool) -> bool:
    """Whether any of the processes says so; all of them hear the same."""
    return any(gather_object([asked]))


def _diverged(what: str, step: int) -> Refusal:
    return Refusal(
        Exit.DIVERGED, f"{what} is no longer finite at step {step}; lower learningRate, or look for broken rows."
    )
