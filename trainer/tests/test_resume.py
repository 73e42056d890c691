"""Trainings that are killed or stopped, and end as they would have."""

from __future__ import annotations

import os
import signal

import pytest
import world
from training import LORA, refused, run, steps

from backspin_trainer import checkpoints, events
from backspin_trainer.exits import Exit
from backspin_trainer.train import only_process

LONG = {"steps": 40, "checkpointEvery": 10}


@pytest.fixture(scope="module", params=[None, LORA], ids=["whole", "lora"])
def settings(request) -> dict:
    return {**LONG, "lora": request.param}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, model, rows, settings) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run(world.train_spec(model, rows, folder, **settings)) == Exit.DONE
    return world.contents(folder / "model")


def test_killed_between_checkpoints_a_run_ends_with_the_very_weights_of_an_undisturbed_one(
    tmp_path, model, rows, settings, undisturbed
):
    folder = tmp_path / "run"
    spec = world.train_spec(model, rows, folder, **settings)
    process = world.start("train", spec, tmp_path / "spec.json")
    world.wait_for(process, lambda: len(steps(folder)) >= 14)
    process.kill()
    process.wait()
    assert run(spec) == Exit.DONE
    resumed = [event["resumedFrom"] for event in world.events(folder) if event["event"] == "start"]
    assert resumed[0] is None and resumed[1] in (10, 20, 30)
    assert world.contents(folder / "model") == undisturbed


def test_when_the_first_of_two_processes_is_killed_both_end_and_resumed_they_give_the_very_weights_of_two_undisturbed(
    tmp_path, model, rows
):
    settings = {**LONG, "dropout": 0.2}
    spec = world.train_spec(model, rows, tmp_path / "undisturbed", **settings)
    assert world.start("train", spec, tmp_path / "undisturbed.json", processes=2).wait() == 0
    folder = tmp_path / "run"
    spec = world.train_spec(model, rows, folder, **settings)
    process = world.start("train", spec, tmp_path / "run.json", processes=2)
    world.wait_for(process, lambda: len(steps(folder)) >= 14)
    os.kill(world.events(folder)[0]["pid"], signal.SIGKILL)
    assert process.wait() != 0
    assert world.start("train", spec, tmp_path / "run.json", processes=2).wait() == 0
    resumed = [event["resumedFrom"] for event in world.events(folder) if event["event"] == "start"]
    assert resumed[0] is None and resumed[1] in (10, 20, 30)
    assert world.contents(folder / "model") == world.contents(tmp_path / "undisturbed" / "model")


def test_sigterm_ends_a_run_with_75_and_a_checkpoint_from_which_it_ends_the_same(
    tmp_path, model, rows, settings, undisturbed
):
    folder = tmp_path / "run"
    spec = world.train_spec(model, rows, folder, **settings)
    process = world.start("train", spec, tmp_path / "spec.json")
    world.wait_for(process, lambda: steps(folder))
    process.send_signal(signal.SIGTERM)
    assert process.wait() == Exit.INTERRUPTED
    *_, checkpoint, stopped = world.events(folder)
    assert (checkpoint["event"], stopped["event"]) == ("checkpoint", "stopped") and checkpoint["step"] == stopped[
        "step"
    ] < 40
    assert run(spec) == Exit.DONE
    assert world.contents(folder / "model") == undisturbed


@pytest.mark.parametrize(
    "changes", [{"dropout": 0.2}, {"optimizer": "muon"}, {"lora": LORA}], ids=["dropout", "muon", "lora"]
)
def test_a_stop_file_is_obeyed_in_the_step_in_which_it_appears_once_and_changes_nothing(
    tmp_path, model, rows, monkeypatch, changes
):
    folder = tmp_path / "run"
    assert run(world.train_spec(model, rows, tmp_path / "undisturbed", **changes)) == Exit.DONE
    emit = events.Events.emit

    def emit_and_stop(self, event, **fields):
        emit(self, event, **fields)
        if event == "step" and fields["step"] == 2:  # the third step begins
            (folder / "stop").touch()

    monkeypatch.setattr(events.Events, "emit", emit_and_stop)
    spec = world.train_spec(model, rows, folder, **changes)
    assert run(spec) == Exit.INTERRUPTED
    assert [(event["event"], event["step"]) for event in world.events(folder)[-2:]] == [
        ("checkpoint", 3),
        ("stopped", 3),
    ]
    assert run(spec) == Exit.DONE
    assert [step["step"] for step in steps(folder)] == [1, 2, 3, 4, 5, 6]
    assert world.contents(folder / "model") == world.contents(tmp_path / "undisturbed" / "model")


def test_a_finished_run_is_done_at_once_leaves_no_checkpoints_and_says_what_computed_it(tmp_path, model, rows):
    spec = world.train_spec(model, rows, tmp_path / "run", steps=2, checkpointEvery=1)
    assert run(spec) == Exit.DONE
    before = world.events(tmp_path / "run")
    computing = before[0]["computing"]
    assert set(computing) == {"torch", "transformers", "trl", "peft", "accelerate", "trainer", "device", "devices", "precision"}
    assert computing["trainer"].startswith("0.1.0 ") and (computing["devices"], computing["precision"]) == (1, "float32")
    assert before[-1]["event"] == "done" and not (tmp_path / "run" / "checkpoints").exists()
    assert run(spec) == Exit.DONE
    assert world.events(tmp_path / "run") == before


def test_a_second_process_in_the_folder_of_a_training_ends_and_changes_nothing(tmp_path, model, rows):
    spec = world.train_spec(model, rows, tmp_path / "run", steps=1)
    with only_process(tmp_path / "run"):
        error = refused(spec)
    assert error.code == Exit.INTERNAL and "Another process trains in" in str(error)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]
    assert run(spec) == Exit.DONE


def test_a_truncated_or_unsealed_checkpoint_is_removed_and_the_one_before_it_counts(tmp_path):
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, 2, lambda folder: (folder / "weights").write_bytes(b"w" * 100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-2", "step-3"]
    (tmp_path / "step-3" / "weights").write_bytes(b"w" * 99)
    (tmp_path / "step-9.partial").mkdir()
    assert checkpoints.newest(tmp_path) == (2, tmp_path / "step-2")
    assert [path.name for path in tmp_path.iterdir()] == ["step-2"]
