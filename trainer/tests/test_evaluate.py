"""Held-out rows: what their loss is, and what it decides."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import world
from safetensors.torch import load_file
from test_memory import pairs, weighted_chats
from training import run, steps
from transformers import AutoModelForCausalLM, AutoTokenizer

from backspin_trainer import training, validation
from backspin_trainer.exits import Exit

SETTINGS = {"sft": {}, "dpo": {"objective": "dpo", "beta": 0.1}}


def spec(model: Path, folder: Path, objective: str, rows: list[dict], patience: int | None = None, **changes) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    held = [{**row, "heldOut": True} if at % 4 == 0 else row for at, row in enumerate(rows)]
    file = world.write_rows(folder / "rows.jsonl", held)
    evaluate = {"every": 2, "patience": patience}
    return world.train_spec(model, file, folder / "run", **{**SETTINGS[objective], "evaluate": evaluate, **changes})


def evaluations(given: dict) -> dict[int, float]:
    return {event["step"]: event["loss"] for event in world.events(Path(given["run"])) if event["event"] == "evaluation"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("objective", ["sft", "dpo"])
def test_held_out_rows_change_no_weight_and_their_loss_is_that_of_one_batch(tmp_path, model, objective):
    rows = weighted_chats() if objective == "sft" else pairs()
    given = spec(model, tmp_path / "held", objective, rows, steps=4)
    assert run(given) == Exit.DONE
    without = [row for at, row in enumerate(rows) if at % 4]
    plain = {**given, "evaluate": None, "run": str(tmp_path / "plain"), "data": world.write_rows(tmp_path / "plain.jsonl", without)}
    assert run(plain) == Exit.DONE
    held, plainly = weights(Path(given["run"]) / "model"), weights(tmp_path / "plain" / "model")
    assert all(torch.allclose(held[name], plainly[name], atol=1e-6, rtol=0) for name in plainly)
    only = {**plain, "run": str(tmp_path / "only"), "from": str(Path(given["run"]) / "model"), "steps": 1, "batch": 4}
    only |= {"data": world.write_rows(tmp_path / "only.jsonl", rows[::4])}
    only |= {"reference": {"folder": str(model), "base": None}} if objective == "dpo" else {}
    assert run(only) == Exit.DONE
    assert list(evaluations(given)) == [2, 4]
    assert evaluations(given)[4] == pytest.approx(steps(tmp_path / "only")[0]["loss"], abs=1e-5)
    small = {**given, "run": str(tmp_path / "small"), "microBatch": 1}
    assert run(small) == Exit.DONE
    assert evaluations(small) == pytest.approx(evaluations(given), abs=1e-5)


def test_a_training_ends_when_its_held_out_loss_no_longer_falls_and_gives_the_best_model_even_if_killed(
    tmp_path, model, monkeypatch
):
    losses = {2: 3.0, 4: 1.0, 6: 2.0, 8: 1.5, 10: 0.5}
    monkeypatch.setattr(validation.Validation, "loss", lambda self: losses[self._training.state.global_step])
    long = {"steps": 40, "learningRate": {"from": 1e-3, "to": 1e-3}, "checkpointEvery": 100}
    given = spec(model, tmp_path / "run", "sft", world.chat_rows(), patience=2, **long)
    saved, save = [], training.Training._save_checkpoint

    def die_after_the_best(self, *rest):
        save(self, *rest)
        saved.append(self.state.global_step)
        if saved == [2, 4]:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "_save_checkpoint", die_after_the_best)
    with pytest.raises(KeyboardInterrupt):
        run(given)
    assert run(given) == Exit.DONE
    assert list(evaluations(given)) == [2, 4, 6, 8]
    assert [step["step"] for step in steps(Path(given["run"]))] == list(range(1, 9))
    assert not list(Path(given["run"]).glob("best-*"))
    short = {**given, "run": str(tmp_path / "short"), "evaluate": {"every": 2, "patience": None}, "steps": 4}
    assert run(short) == Exit.DONE
    ended, best = weights(Path(given["run"]) / "model"), weights(tmp_path / "short" / "model")
    assert all(torch.equal(ended[name], best[name]) for name in best)
    for folder in (given["run"], tmp_path / "short"):
        AutoModelForCausalLM.from_pretrained(Path(folder) / "model")
        AutoTokenizer.from_pretrained(Path(folder) / "model")
