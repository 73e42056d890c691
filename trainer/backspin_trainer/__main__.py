"""python -m backspin_trainer train|embed|score|tag|merge|serve|hub|push|convert|gguf|check --spec FILE, or doctor, or identity."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import traceback
from importlib import import_module

from .exits import Exit, Refusal
from .spec import (
    CheckSpec,
    ConvertSpec,
    EmbedSpec,
    GgufSpec,
    HubSpec,
    MergeSpec,
    ScoreSpec,
    ServeSpec,
    TagSpec,
    TrainSpec,
    read_spec,
)
from .stop import Stop

_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning halves the throughput of shared cores
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}


def main() -> int:
    """Runs one verb and returns its exit code. If it fails, prints one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="backspin_trainer", description=__doc__)
    parser.add_argument("verb", choices="train embed score tag merge serve hub push convert gguf check doctor identity".split())
    parser.add_argument("--spec", help="JSON file with the spec of the verb")
    arguments = parser.parse_args()
    if arguments.verb not in ("doctor", "identity") and arguments.spec is None:
        parser.error(f"{arguments.verb} needs --spec FILE")
    for name, value in _ENVIRONMENT.items():
        if name != "HF_HUB_OFFLINE" or arguments.verb not in ("hub", "push"):
            os.environ.setdefault(name, value)
    try:
        return _run(arguments.verb, arguments.spec)
    except Refusal as refusal:
        code, message = refusal.code, str(refusal)
    except ImportError as error:
        code = Exit.DEPENDENCY
        message = f"Cannot import {error.name}: {error}. Install trainer/requirements.lock into {sys.executable}."
    except Exception:
        traceback.print_exc()
        code, message = Exit.INTERNAL, "This is a defect of backspin-trainer; report it with the lines above."
    print(message, file=sys.stderr)
    return code


def _run(verb: str, spec: str | None) -> int:
    if verb == "doctor":
        from .doctor import doctor

        return doctor()
    if verb == "identity":
        from .identity import identity

        return identity()
    if verb == "hub":
        from .hub import hub

        return hub(read_spec(spec, HubSpec))
    if verb == "push":
        from .push import PushSpec, push

        return push(read_spec(spec, PushSpec))
    os.dup2(2, 1)  # what a library prints to stdout goes to the log on stderr
    if verb == "train":
        stop, read = Stop(), read_spec(spec, TrainSpec)
        return _import_without_gc("train").train(read, stop)
    if verb == "embed":
        stop, read = Stop(), read_spec(spec, EmbedSpec)
        return _import_without_gc("embed").embed(read, stop)
    if verb == "score":
        stop, read = Stop(), read_spec(spec, ScoreSpec)
        return _import_without_gc("score").score(read, stop)
    if verb == "tag":
        stop, read = Stop(), read_spec(spec, TagSpec)
        return _import_without_gc("tag").tag(read, stop)
    if verb == "merge":
        read = read_spec(spec, MergeSpec)
        return _import_without_gc("adapters").merge(read)
    if verb == "check":
        read = read_spec(spec, CheckSpec)
        return _import_without_gc("check").check(read)
    if verb == "gguf":
        read = read_spec(spec, GgufSpec)
        return _import_without_gc("gguf").gguf(read)
    if verb == "convert":
        read = read_spec(spec, ConvertSpec)
        return _import_without_gc("convert").convert(read)
    read = read_spec(spec, ServeSpec)
    return _import_without_gc("serve").serve(read)


def _import_without_gc(name: str):
    """Imports a module of this package. Garbage collection would take a third of the time."""
    gc.disable()
    try:
        return import_module(f".{name}", __package__)
    finally:
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all data is on disk; a normal interpreter exit takes half a second
