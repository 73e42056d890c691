"""KTO: completions without a pair, beside TRL's own trainer."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import world
from datasets import Dataset
from safetensors.torch import load_file
from training import parsed, refused, run, steps
from transformers import AutoModelForCausalLM
from trl import KTOConfig, KTOTrainer

from backspin_trainer import data, preferences
from backspin_trainer.exits import Exit
from backspin_trainer.unpaired import kto_losses

ROWS = [
    {
        "prompt": [{"role": "user", "content": f"Which {n}?" * (1 + n % 3)}],
        "completion": ["a town", "the river is long and old and blue", "no", "birds sing"][n % 4] + "!" * (n // 4),
        "label": n % 3 != 1,
    }
    for n in range(8)
]


@pytest.fixture
def spec(tmp_path, model):
    other = world.make_model(tmp_path / "other", seed=7)

    def made(name: str = "run", rows: list[dict] = ROWS, **changes) -> dict:
        file = world.write_rows(tmp_path / f"{name}.jsonl", rows)
        settings = {"beta": 0.4, "reference": {"folder": str(other), "base": None}, "batch": 8, "steps": 2, "clip": None}
        return world.train_spec(model, file, tmp_path / name, **{"objective": "kto", **settings, **changes})

    return made


def losses(given: dict) -> list[float]:
    assert run(given) == Exit.DONE
    return [step["loss"] for step in steps(Path(given["run"]))]


def test_the_losses_of_two_steps_are_those_of_trl(tmp_path, spec, model, tokenizer):
    given = spec(learningRate={"from": 1e-3, "to": 1e-3}, weightDecay=0.0, betas=[0.9, 0.999])
    rows = [{**row, "completion": [{"role": "assistant", "content": row["completion"]}]} for row in ROWS]
    config = KTOConfig(
        output_dir=str(tmp_path / "trl"),
        max_steps=2,
        per_device_train_batch_size=8,
        beta=given["beta"],
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        max_length=64,
    )
    read = lambda folder: AutoModelForCausalLM.from_pretrained(folder)  # noqa: E731
    theirs = KTOTrainer(
        read(model), read(given["reference"]["folder"]), config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    theirs.train()
    logged = [entry for entry in theirs.state.log_history if "loss" in entry]
    assert losses(given) == pytest.approx([entry["loss"] for entry in logged], abs=1e-5)
    for ours, entry in zip(steps(Path(given["run"])), logged):
        assert ours["kl"] == pytest.approx(entry["kl"], abs=1e-4)
        assert ours["rewardsChosen"] == pytest.approx(entry["rewards/chosen"], abs=1e-4)
        assert ours["rewardsRejected"] == pytest.approx(entry["rewards/rejected"], abs=1e-4)


def test_the_divergence_is_that_of_the_batch_whatever_the_micro_batch(spec):
    rate = {"from": 1e-5, "to": 1e-5}
    whole, split = spec("whole", learningRate=rate), spec("split", microBatch=2, learningRate=rate)
    assert losses(split) == pytest.approx(losses(whole), abs=1e-6)
    one, other = (load_file(Path(given["run"]) / "model" / "model.safetensors") for given in (whole, split))
    assert all(torch.allclose(one[name], other[name], atol=1e-6, rtol=0) for name in one)
    for a, b in zip(*(steps(Path(given["run"])) for given in (whole, split))):
        for name in ("kl", "rewardsChosen", "rewardsRejected", "rewardsMargins"):
            assert a[name] == pytest.approx(b[name], abs=1e-5), name


def test_two_processes_share_every_batch_and_its_divergence_and_measure_held_out_rows_as_one_does(tmp_path, spec):
    held = [{**row, "heldOut": at in (2, 5, 6)} for at, row in enumerate(ROWS)]
    rate = {"from": 1e-5, "to": 1e-5}
    one, two = (
        spec(name, held, batch=4, microBatch=micro, learningRate=rate, evaluate={"every": 1, "patience": None})
        for name, micro in (("one", 4), ("two", 1))
    )
    losses(one)
    assert world.start("train", two, tmp_path / "two.json", processes=2).wait() == 0
    kept = ("loss", "kl", "rewardsChosen", "rewardsRejected", "rewardsMargins")
    shown = [
        [event[name] for event in world.events(Path(given["run"])) for name in kept if name in event and event["event"] != "done"]
        for given in (one, two)
    ]
    assert len(shown[0]) > 8 and shown[1] == pytest.approx(shown[0], abs=1e-5)
    a, b = (load_file(Path(given["run"]) / "model" / "model.safetensors") for given in (one, two))
    assert all(torch.allclose(a[name], b[name], atol=1e-6, rtol=0) for name in a)


def test_a_desirable_completion_is_learnt_and_another_is_not_and_weights_scale_both():
    ratios, desirable = torch.tensor([1.0, 1.0, -9.0]), torch.tensor([True, False, False])
    expected = [1 - 1 / (1 + math.exp(-0.5 * 0.25)), 1 - 1 / (1 + math.exp(0.5 * 0.25)), 1 - 1 / (1 + math.exp(-0.5 * 9.75))]
    assert kto_losses(ratios, desirable, 0.75, 0.5).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_weight_of_a_row_scales_its_loss(spec):
    half = [{**row, "weight": 0.5} for row in ROWS]
    assert losses(spec("half", half))[0] == pytest.approx(losses(spec())[0] / 2, abs=1e-6)


def test_each_completion_is_compared_with_one_of_another_prompt_within_the_length_of_a_row():
    rows = [{"input_ids": [prompt], "chosen": [answer] * 4} for prompt, answer in ((1, 10), (1, 11), (2, 12), (3, 13))]
    preferences.mismatch(rows, 4)
    assert [row["rejected"] for row in rows] == [[13] * 3, [13] * 3, [11] * 3, [12] * 3]
    alone = [{"input_ids": [1], "chosen": [10]}]
    preferences.mismatch(alone, 4)
    assert alone[0]["rejected"] == [10]
    preferences.mismatch([], 4)


@pytest.mark.parametrize("label", [True, False])
def test_rows_of_one_label_have_no_rewards_of_the_other(spec, label):
    given = spec(rows=[{**row, "label": label} for row in ROWS], microBatch=4)
    losses(given)
    assert ("rewardsChosen" in steps(Path(given["run"]))[0]) == label
    assert ("rewardsRejected" in steps(Path(given["run"]))[0]) != label


def test_held_out_rows_are_measured_by_their_own_divergence(spec):
    held = [{**row, "heldOut": at % 2 == 0} for at, row in enumerate(ROWS)]
    given = spec("held", held, batch=4, evaluate={"every": 1, "patience": None}, learningRate={"from": 1e-9, "to": 1e-9})
    losses(given)
    parts = {**given, "run": given["run"] + "-parts", "microBatch": 1}
    losses(parts)
    whole, split = ([e["loss"] for e in world.events(Path(one["run"])) if e["event"] == "evaluation"] for one in (given, parts))
    assert whole == pytest.approx(split, abs=1e-6) and len(whole) == 2


@pytest.mark.parametrize(
    ("broken", "why"),
    [({"label": 1}, '"label", true or false'), ({"completion": None}, '"completion", a string'), ({"prompt": []}, 'needs "prompt"')],
)
def test_a_row_without_its_parts_is_refused(spec, tokenizer, broken, why):
    examples = data.read_examples(parsed(spec(rows=[{**ROWS[0], **broken}, ROWS[1]])), tokenizer)
    assert examples.kept == 1 and why in examples.refused[0]["evidence"]


def test_kto_needs_beta_and_has_no_loss_of_pairs(spec):
    for broken in ({"beta": None}, {"loss": "ipo"}, {"sft": 0.5}):
        assert refused(spec(**broken)).code == Exit.SPEC
