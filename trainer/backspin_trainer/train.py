"""The `train` verb: SFT, preferences and pre-training, of all weights or of an adapter, that survive any kill, bit for bit.

Started by `accelerate launch` it is several processes, one for each device, that share every batch. The first of them speaks
for all: its events, its files and its exit code are those of the training.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import torch
from accelerate import PartialState
from transformers.utils.logging import disable_progress_bar

from . import checkpoints, data, preferences
from .adapters import adapt, merge, resume, write_adapter
from .events import Events
from .exits import Exit, Refusal
from .models import make_model, read_model, replacing, write_model
from .spec import MergeSpec, ModelFolders, TrainSpec
from .stop import Stop
from .tokens import check_chat_template, read_tokenizer, tokenizer_folder
from .training import Preferring, Training, anywhere, diverged


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
    if not anywhere(stop.requested()):
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
        raise diverged("A weight", spec.steps)
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
