from __future__ import annotations

import dataclasses
import itertools
import json
import shutil

import pytest
import torch
import world
from safetensors.torch import load_file
from training import LORA, parsed, refused, run, steps
from transformers import AutoModelForCausalLM

from backspin_trainer import data
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.muon import orthogonal
from backspin_trainer.schedule import learning_rate
from backspin_trainer.stop import Stop
from backspin_trainer.tokens import read_tokenizer
from backspin_trainer.train import train
from backspin_trainer.training import mean_nll


def test_the_first_loss_is_the_mean_over_the_answers_tokens_computed_by_hand(tmp_path, model, rows):
    spec = world.train_spec(model, rows, tmp_path / "run", steps=1)
    assert run(spec) == Exit.DONE
    examples = data.read_examples(parsed(spec), read_tokenizer(str(model))).dataset
    network, total, count = AutoModelForCausalLM.from_pretrained(model), 0.0, 0
    for index in data.sample_order(examples, parsed(spec)):
        ids, labels = examples[index]["input_ids"], examples[index]["labels"]
        with torch.no_grad():
            weights = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        learnt = [place for place, label in enumerate(labels) if label != -100]
        total -= sum(float(weights[place - 1, ids[place]]) for place in learnt)
        count += len(learnt)
    assert steps(tmp_path / "run")[0]["loss"] == pytest.approx(total / count, abs=1e-5)


def test_a_linear_run_ends_at_exactly_its_last_learning_rate_and_never_rises(tmp_path, model, rows):
    run(world.train_spec(model, rows, tmp_path / "run", learningRate={"from": 1e-5, "to": 9e-6}))
    rates = [step["learningRate"] for step in steps(tmp_path / "run")]
    assert rates[0] == 1e-5 and rates[-1] == 9e-6
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_without_an_end_the_rate_is_0_after_the_last_step_and_every_step_learns(tmp_path, model, rows, schedule):
    given = world.train_spec(model, rows, tmp_path / "run", schedule=schedule, learningRate={"from": 1e-3, "to": None}, steps=4)
    rates = [learning_rate(parsed(given), step) for step in range(1, 6)]
    assert rates[0] == 1e-3 and rates[3] > 1e-5 and rates[4] == 0.0 and rates == sorted(rates, reverse=True)
    assert run(given | {"steps": 1, "run": str(tmp_path / "one")}) == Exit.DONE
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "one" / "model"))
    assert any(not torch.equal(before[name], after[name]) for name in after)


def test_a_cosine_rises_through_its_warm_up_and_falls_to_its_floor(tmp_path, model, rows):
    spec = parsed(world.train_spec(model, rows, tmp_path / "run", schedule="cosine", warmup=0.1, steps=100))
    rates = [learning_rate(spec, step) for step in range(1, 101)]
    assert rates[0] == pytest.approx(1e-4) and rates[9] == 1e-3 and rates[-1] == 1e-4
    assert rates[54] == pytest.approx(5.5e-4) and rates[10:] == sorted(rates[10:], reverse=True)


def test_two_processes_share_every_batch_and_learn_what_one_does(tmp_path, model, rows):
    assert run(world.train_spec(model, rows, tmp_path / "one")) == Exit.DONE
    spec = world.train_spec(model, rows, tmp_path / "two")
    assert world.start("train", spec, tmp_path / "two.json", processes=2).wait() == 0
    for one, two in zip(steps(tmp_path / "one"), steps(tmp_path / "two"), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5) and two["tokens"] == one["tokens"]
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


def test_a_batch_that_two_processes_cannot_share_is_refused_by_the_first_of_them(tmp_path, model, rows):
    spec = world.train_spec(model, rows, tmp_path / "run", batch=3)
    assert world.start("train", spec, tmp_path / "spec.json", processes=2).wait() != 0
    (error,) = world.events(tmp_path / "run")
    assert (error["event"], error["code"]) == ("error", Exit.SPEC)
    assert error["message"] == "Spec key 'batch' is 3, which 2 devices cannot share; make it a multiple."


def test_the_loss_of_a_pair_by_row_weights_is_the_weighted_mean_of_its_two_losses():
    # Four targets each, their negative log-likelihoods 8.0 and 4.8 in all, and weights .6 and 1.4: .3 * 2.0 + .7 * 1.2.
    nll = torch.tensor([[2.0] * 4, [1.2] * 4])
    loss = mean_nll(nll, torch.tensor([0.6, 1.4]), 8)
    assert loss.item() == pytest.approx(1.44, abs=1e-6)


def test_row_weights_scale_what_a_row_adds_to_the_loss(tmp_path, model):
    first, second = world.chat_rows(2)

    def loss(*weights: float) -> float:
        folder = tmp_path / "-".join(map(str, weights))
        rows = [{**row, "weight": weight} for row, weight in zip((first, second), weights, strict=True)]
        data = world.write_rows(tmp_path / f"{folder.name}.jsonl", rows)
        assert run(world.train_spec(model, data, folder, steps=1, batch=2)) == Exit.DONE
        return steps(folder)[0]["loss"]

    one, other = loss(2.0, 0.0), loss(0.0, 2.0)
    assert loss(1.0, 1.0) == pytest.approx((one + other) / 2, rel=1e-5)
    assert loss(0.6, 1.4) == pytest.approx(0.3 * one + 0.7 * other, rel=1e-5)


@pytest.mark.parametrize(
    ("lora", "files"),
    [(None, {"config.json", "generation_config.json", "model.safetensors"}), (LORA, set(world.ADAPTER))],
    ids=["whole", "lora"],
)
def test_equal_runs_in_different_places_give_byte_identical_folders_that_name_no_path(
    tmp_path, model, rows, lora, files
):
    twin = shutil.copytree(model, tmp_path / "elsewhere")
    for seed, (name, start) in enumerate((("one", model), ("two", twin))):
        spec = world.train_spec(start, rows, tmp_path / name, lora=lora)
        process = world.start("train", spec, tmp_path / f"{name}.json", PYTHONHASHSEED=str(seed))
        assert process.wait() == Exit.DONE
    one = world.contents(tmp_path / "one" / "model")
    assert one == world.contents(tmp_path / "two" / "model")
    assert set(one) == files | {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert not any(str(place).encode() in text for text in one.values() for place in (tmp_path, model.parent))


def test_a_diverged_run_ends_with_76_and_says_so_in_its_events(tmp_path, model, rows):
    error = refused(world.train_spec(model, rows, tmp_path / "run", learningRate={"from": 1e30, "to": 1e30}, clip=None))
    assert error.code == Exit.DIVERGED and "no longer finite at step" in str(error)
    assert world.events(tmp_path / "run")[-1] == {"v": 1, "event": "error", "message": str(error), "code": 76}
    assert not (tmp_path / "run" / "model").exists()


def test_a_run_folder_that_cannot_be_written_ends_with_73(tmp_path, model, rows):
    (tmp_path / "file").touch()
    spec = parsed(world.train_spec(model, rows, tmp_path / "run"))
    with pytest.raises(Refusal) as error:
        train(dataclasses.replace(spec, run=str(tmp_path / "file" / "run")), Stop())
    assert error.value.code == Exit.WRITE


def test_more_tokens_than_the_models_context_are_refused(tmp_path, model, rows):
    error = refused(world.train_spec(model, rows, tmp_path / "run", maxTokens=97))
    assert error.code == Exit.SPEC and "context is 96" in str(error)


@pytest.mark.parametrize("processes", [1, 2])
def test_rows_that_cannot_be_trained_on_end_a_run_that_counts_on_them_and_not_one_that_does_not(
    tmp_path, model, processes
):
    rows = world.chat_rows()
    rows[5] = {"messages": [*rows[5]["messages"][:-1], {"role": "assistant", "content": " "}]}
    spec = world.train_spec(model, world.write_rows(tmp_path / "all.jsonl", rows), tmp_path / "run")
    process = world.start("train", spec, tmp_path / "all.json", processes)
    assert process.wait() != 0
    [said] = world.events(tmp_path / "run")
    assert said["code"] == Exit.DATA and "23 rows to train on (refused: 1 empty)" in said["message"]
    [one] = map(json.loads, (tmp_path / "run" / "refused.jsonl").read_text().splitlines())
    assert (one["line"], one["reason"]) == (6, "empty")
    assert world.start("train", spec | {"rows": 23}, tmp_path / "left.json", processes).wait() == Exit.DONE
    if processes == 1:
        left = world.write_rows(tmp_path / "left.jsonl", rows[:5] + rows[6:])
        assert run(world.train_spec(model, left, tmp_path / "again")) == Exit.DONE
        assert world.contents(tmp_path / "run" / "model") == world.contents(tmp_path / "again" / "model")


def test_a_file_that_leaves_no_row_is_refused_with_its_reasons(tmp_path, model):
    for rows, says in (([], "holds no rows"), ([{"text": "a"}], "0 rows to train on (refused: 1 invalid)")):
        error = refused(world.train_spec(model, world.write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "run"))
        assert error.code == Exit.DATA and says in str(error)


def test_a_folder_that_is_no_model_is_refused(tmp_path, rows):
    world.make_tokenizer(tmp_path / "half")
    error = refused(world.train_spec(tmp_path / "half", rows, tmp_path / "run"))
    assert error.code == Exit.MODEL and "config.json is missing" in str(error)


def test_muon_pre_training_from_nothing_lowers_the_loss(tmp_path):
    world.make_tokenizer(tmp_path / "tokenizer")
    architecture = {
        "hiddenSize": 32,
        "layers": 2,
        "heads": 2,
        "headSize": 16,
        "kvHeads": 1,
        "mlp": 48,
        "context": 64,
        "tied": True,
        "std": 0.02,
    }
    init = {"architecture": architecture, "tokenizer": str(tmp_path / "tokenizer"), "seed": 0}
    texts = world.write_rows(tmp_path / "texts.jsonl", [{"text": text} for text in world.TEXTS * 10])
    muon = {"objective": "lm", "optimizer": "muon", "schedule": "cosine", "learningRate": {"from": 0.02, "to": 0.0}}
    assert (
        run(world.train_spec(None, texts, tmp_path / "run", init=init, steps=40, batch=8, checkpointEvery=40, **muon))
        == Exit.DONE
    )
    first, *_, last = steps(tmp_path / "run")
    assert first["loss"] == pytest.approx(5.7, abs=0.3) and last["loss"] < 2.5
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").config.head_dim == 16


def test_muons_updates_have_singular_values_near_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(3, 16, 40)))
    assert values.min() > 0.6 and values.max() < 1.3
