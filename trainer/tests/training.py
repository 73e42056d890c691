"""Trainings in this process, and what they say of their steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import world

from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.spec import TrainSpec, read_spec
from backspin_trainer.stop import Stop
from backspin_trainer.train import train

LORA = {"rank": 4, "alpha": 8, "targets": None, "dropout": 0.1}


def parsed(spec: dict) -> TrainSpec:
    path = Path(spec["run"]).with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(spec))
    return read_spec(str(path), TrainSpec)


def run(spec: dict) -> Exit:
    return train(parsed(spec), Stop())


def refused(spec: dict) -> Refusal:
    with pytest.raises(Refusal) as error:
        run(spec)
    return error.value


def steps(folder: Path) -> list[dict]:
    return [event for event in world.events(folder) if event["event"] == "step"]
