"""The `train` verb: SFT, preference optimisation, pre-training and taggers, of all weights or of a LoRA adapter.

A run survives any kill: it resumes from its newest checkpoint, bit for bit. Under `accelerate launch` each device has a
process, and all processes share every batch. Only the main process writes events, files and the exit code.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import enable_full_determinism
from transformers.utils.logging import disable_progress_bar

from . import __version__, checkpoints, data, options, tagger
from .adapters import add_adapter, causal_lm, continue_adapter, merge, read_adapted, write_adapter
from .device import check_devices, computes_in_bf16, return_freed_memory
from .events import Events
from .exits import Exit, Refusal, is_out_of_memory, out_of_memory, writing
from .heads import return_token_losses
from .identity import code_of, versions_for_options
from .models import check_context, make_model, read_model, replacing, write_model
from .reference import add_reference
from .shard import any_process, check_world, has_shards, is_sharded, opened, trained_weights
from .spec import MergeSpec, ModelFolders, TrainSpec
from .stop import Stop
from .tokens import check_chat_template, read_fast_tokenizer, read_tokenizer, tokenizer_folder
from .training import PreferenceTraining, TaggerTraining, Training, micro_batch
from .unpaired import UnpairedTraining
from .validation import best_folder, diverged, keeps_best

_HANGS_AFTER = timedelta(days=1)  # the supervisor notices a hung training long before


def train(spec: TrainSpec, stop: Stop) -> Exit:
    """Trains until the last step, or until a checkpoint if `stop` is requested. Raises Refusal for every other end."""
    run = Path(spec.run)
    main = os.environ.get("RANK", "0") == "0"
    with only_process(run) if main else contextlib.nullcontext():
        if (run / "model").is_dir():
            return Exit.DONE
        events = Events(run / "events.jsonl" if main else Path(os.devnull))
        stop.watch(run / "stop")
        try:
            exit_code = _train(spec, run, events, stop)
        except Exception as error:
            if is_out_of_memory(error):
                events = Events(run / "events.jsonl")  # any process may be the one that has no memory left
                error = out_of_memory(error, "Lower maxTokens, or train an adapter.")
            code = error.code if isinstance(error, Refusal) else Exit.INTERNAL
            events.emit("error", message=str(error) or type(error).__name__, code=code)
            raise error
    return exit_code if main else Exit.DONE  # the launcher kills the main process if another one fails


@contextlib.contextmanager
def only_process(run: Path):
    """Keeps others from training in the folder. Raises Refusal 70 if one does, without an event: the event file is the other's."""
    with writing(str(run)):
        run.mkdir(parents=True, exist_ok=True)
        lock = os.open(run / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        remedy = "stop it, or wait until it ends, then start again"
        raise Refusal(Exit.INTERNAL, f"Another process trains in {run}: {remedy}.") from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(lock)


def _train(spec: TrainSpec, run: Path, events: Events, stop: Stop) -> Exit:
    check_devices()
    options.check_packages(spec)
    options.check_cuda(spec)
    if spec.deterministic:
        enable_full_determinism(spec.seed)
    torch.set_num_threads(spec.threads)
    return_freed_memory()
    world = PartialState(cpu=not torch.cuda.is_available(), timeout=_HANGS_AFTER)
    check_world(spec, world.num_processes)
    disable_progress_bar()
    folder = tokenizer_folder(ModelFolders(spec.from_, spec.base)) if spec.from_ else spec.init.tokenizer
    tagging = spec.objective == "tagger"
    tokenizer = read_fast_tokenizer(folder) if tagging else read_tokenizer(folder, spec.base or spec.from_)
    if spec.objective not in ("lm", "tagger"):
        check_chat_template(tokenizer, folder, data.has_system_turns(spec.data))
    examples = data.read_examples(spec, tokenizer)
    if not examples.kept or (examples.refused if spec.rows is None else examples.kept != spec.rows):
        with world.main_process_first():  # the launcher kills the others when it fails
            raise _refusal(spec, run, examples)
    dataset = examples.dataset
    labels = tagger.labels_of(dataset) if tagging else None
    open_model = partial(tagger.make_tagger, spec, labels) if tagging else partial(_open_model, spec, run, tokenizer)
    model = opened(spec, open_model)
    _check_vocabulary(model, tokenizer, dataset, folder)
    with world.main_process_first():
        resumed = checkpoints.newest(run / "checkpoints", lambda path: has_shards(path) == is_sharded(model))
    step = resumed[0] if resumed else None
    events.emit(
        "start",
        pid=os.getpid(),
        resumedFrom=step,
        steps=spec.steps,
        truncated=examples.truncated,
        microBatch=micro_batch(spec),
        computing=_computing(),
        accumulation=spec.batch // world.num_processes // micro_batch(spec),
    )
    if spec.has_reference:
        pad, reference = tokenizer.pad_token_id, partial(_open_reference, spec, model)
        dataset = add_reference(dataset, reference, pad, run / "reference", micro_batch(spec), events, stop)
    write = partial(_write, spec, model, labels, folder)
    ended = False
    if not any_process(dataset is None or stop.requested()):
        trainer = {"kto": UnpairedTraining, "tagger": TaggerTraining}.get(spec.objective, Training)
        training = (PreferenceTraining if spec.is_preference else trainer)(spec, model, tokenizer, dataset, events, stop, write)
        training.train(resume_from_checkpoint=str(resumed[1]) if resumed else None)
        step, ended = training.state.global_step, training.has_ended
    if ended and not keeps_best(spec):
        write(run / "model")
    if not world.is_main_process:
        return Exit.DONE
    if not ended:
        stop.clear()
        events.emit("stopped", step=step or 0)
        return Exit.INTERRUPTED
    if keeps_best(spec):
        best_folder(run, training.state.best_global_step).rename(run / "model")
    events.emit("done", step=step, loss=training.loss)
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    return Exit.DONE


def _write(spec: TrainSpec, model, labels: tagger.Labels | None, tokenizer: str, folder: Path) -> None:
    """Writes the model, its adapter, or a tagger for `labels`, in the main process. All processes must call it."""
    weights = trained_weights(model) if is_sharded(model) else None
    if not PartialState().is_main_process:
        return
    if not all(weight.isfinite().all() for weight in (weights or dict(model.named_parameters())).values()):
        raise diverged("A weight", spec.steps)
    if labels:
        tagger.write_tagger(model, labels, tokenizer, folder)
    else:
        (write_adapter if spec.lora else write_model)(model, tokenizer, folder, weights)


def _check_vocabulary(model, tokenizer, dataset, folder: str) -> None:
    """Raises Refusal 66 for a token that the model has no embedding of. If that is the padding token, EOS takes its place."""
    known = model.get_input_embeddings().num_embeddings
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id >= known:
        tokenizer.pad_token = tokenizer.eos_token
    columns = [name for name in ("input_ids", "chosen", "rejected") if name in dataset.column_names]
    highest = max(max(ids, default=0) for name in columns for ids in dataset[name])
    if highest >= known:
        token = tokenizer.convert_ids_to_tokens(highest)
        raise Refusal(
            Exit.MODEL,
            f"The tokenizer in {folder} has the token {token} ({highest}), which occurs in the rows, and the model has "
            f"embeddings of {known} tokens only: resize its embeddings, or give the tokenizer that it was made with.",
        )


def _refusal(spec: TrainSpec, run: Path, examples: data.Examples) -> Refusal:
    """Writes the refused rows to `refused.jsonl`. The supervisor drops them, plans the steps again and restarts."""
    with replacing(run / "refused.jsonl") as partial:
        partial.write_text("".join(json.dumps(row) + "\n" for row in examples.refused))
    if not examples.refused:
        return Refusal(Exit.DATA, f"{spec.data} holds no rows to train on; give at least one.")
    reasons = Counter(row["reason"] for row in examples.refused)
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    first = examples.refused[0]
    return Refusal(
        Exit.DATA,
        f"{spec.data}:{first['line']} {first['evidence']}. It leaves {examples.kept} rows to train on (refused: "
        f"{counts}), and the spec counts on {spec.rows or 'all'}: fix the rows in refused.jsonl, or plan the "
        "steps without them.",
    )


def _open_model(spec: TrainSpec, run: Path, tokenizer):
    """The model to train, which returns token losses. If `spec.adapter` is "merge", base and adapter merged are in the run
    folder as `base`."""
    merged, folder = run / "base", spec.base or spec.from_
    if spec.base and spec.adapter == "merge":
        if PartialState().is_main_process and not merged.is_dir():
            merge(MergeSpec(1, spec.from_, spec.base, str(merged)))
        while not merged.is_dir():  # no barrier, since those time out
            time.sleep(0.05)
        folder = str(merged)
    model = (
        read_model(folder, spec.dropout, _precision(spec), **options.quantization(spec))
        if folder
        else make_model(spec.init, tokenizer, spec.dropout)
    )
    check_context(model, spec.max_tokens)
    if spec.packing:
        options.check_packing(model)
    if spec.lora:
        model = add_adapter(model, spec.lora, spec.seed)
        if spec.base and spec.adapter == "continue":
            continue_adapter(model, spec.from_)
    return_token_losses(causal_lm(model), spec.packing)
    options.use_kernels(causal_lm(model), spec)
    return model


def _computing() -> dict[str, str | int]:
    """What a person wants to know of a model later: versions, the trainer's with a digest of its code, devices and precision."""
    versions = {name: version(name) for name in ("torch", "transformers", "trl", "peft", "accelerate")}
    cuda = torch.cuda.is_available()
    return versions | versions_for_options() | {
        "trainer": f"{__version__} {code_of(Path(__file__).parent, 'train')[:12]}",
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "devices": PartialState().num_processes,
        "precision": "bfloat16" if computes_in_bf16() else "float32",
    }


def _open_reference(spec: TrainSpec, policy):
    """The reference model, which returns token losses: `spec.reference`, or else `policy` before its first step."""

    def read():
        model = read_adapted(spec.reference, _precision(spec), **options.quantization(spec))
        return_token_losses(causal_lm(model), spec.packing)
        options.use_kernels(causal_lm(model), spec)
        return model

    return opened(spec, read) if spec.reference else policy


def _precision(spec: TrainSpec) -> torch.dtype:
    """Of the weights: bf16 for the frozen base of an adapter if the device computes in bf16, else fp32. Adapters are fp32."""
    return torch.bfloat16 if spec.lora and computes_in_bf16() else torch.float32
