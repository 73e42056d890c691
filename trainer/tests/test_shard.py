"""Trainings that several devices share shard by shard. Here the devices are processes on the CPU."""

from __future__ import annotations

import os
import signal

import pytest
import world
from safetensors.torch import load_file
from test_memory import pairs
from training import refused, run, steps
from transformers import AutoModelForCausalLM

from backspin_trainer import checkpoints, shard
from backspin_trainer.exits import Exit


def test_a_sharded_training_killed_on_two_devices_ends_on_three_with_the_weights_that_one_device_makes(tmp_path, untied):
    rows = world.write_rows(tmp_path / "pairs.jsonl", pairs())
    settings = {"objective": "dpo", "beta": 0.1, "batch": 12, "microBatch": 2, "steps": 20, "checkpointEvery": 5}
    assert run(world.train_spec(untied, rows, tmp_path / "one", **settings)) == Exit.DONE
    folder = tmp_path / "run"
    spec = world.train_spec(untied, rows, folder, **settings, shard="fsdp2")
    process = world.start("train", spec, tmp_path / "run.json", processes=2)
    world.wait_for(process, lambda: len(steps(folder)) >= 7)
    os.kill(world.events(folder)[0]["pid"], signal.SIGKILL)
    assert process.wait() != 0
    assert world.start("train", spec, tmp_path / "run.json", processes=3).wait() == 0
    starts = [event for event in world.events(folder) if event["event"] == "start"]
    assert starts[0]["resumedFrom"] is None and starts[1]["resumedFrom"] in (5, 10, 15)
    assert [(start["computing"]["devices"], start["accumulation"]) for start in starts] == [(2, 3), (3, 2)]
    one, sharded = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "run"))
    before = AutoModelForCausalLM.from_pretrained(untied).state_dict()
    assert max(float((one[name] - before[name]).abs().max()) for name in one) > 1e-3
    assert set(one) == set(sharded)
    assert max(float((one[name] - sharded[name]).abs().max()) for name in one) < 1e-5
    for alone, shared in zip(steps(tmp_path / "one"), {step["step"]: step for step in steps(folder)}.values(), strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], abs=1e-5)
        assert shared["gradNorm"] == pytest.approx(alone["gradNorm"], rel=1e-4)


def test_a_checkpoint_of_shards_counts_for_a_sharded_training_alone(tmp_path):
    folders = {1: lambda path: (path / "optimizer").mkdir(), 2: lambda path: (path / "optimizer.pt").write_bytes(b"whole")}
    for step, write in folders.items():
        checkpoints.save(tmp_path, step, 2, write)
    assert checkpoints.newest(tmp_path, shard.has_shards) == (1, tmp_path / "step-1")
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"], "a later resume must not find the other one"


@pytest.mark.parametrize(
    ("changes", "words"),
    [({}, "has one: give the pool groups of several devices"), ({"optimizer": "muon"}, "must be 'none' for the optimizer 'muon'")],
)
def test_a_training_that_cannot_be_sharded_is_refused(tmp_path, model, rows, changes, words):
    error = refused(world.train_spec(model, rows, tmp_path / "run", shard="fsdp2", **changes))
    assert error.code == Exit.SPEC and words in str(error)


@pytest.mark.parametrize("changes", [{"shard": "fsdp2"}, {"microBatch": 2}], ids=["sharded", "whole"])
def test_the_sft_share_weights_and_packing_of_pairs_are_those_of_one_device_on_two(tmp_path, untied, changes):
    rows = world.write_rows(tmp_path / "pairs.jsonl", [pair | {"weight": 0.5 + at % 2} for at, pair in enumerate(pairs())])
    settings = {"objective": "dpo", "beta": 0.5, "loss": "orpo", "packing": True, "batch": 8, "steps": 3}
    settings["learningRate"] = {"from": 1e-5, "to": 1e-5}
    assert run(world.train_spec(untied, rows, tmp_path / "one", **settings)) == Exit.DONE
    spec = world.train_spec(untied, rows, tmp_path / "two", **settings, **changes)
    (tmp_path / "two").mkdir()
    assert world.start("train", spec, tmp_path / "two.json", processes=2).wait() == 0
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 2e-6
    for alone, shared in zip(steps(tmp_path / "one"), steps(tmp_path / "two"), strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], abs=1e-5)
