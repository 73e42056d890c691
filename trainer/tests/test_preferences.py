from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import world
from datasets import Dataset
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from backspin_trainer import preferences
from backspin_trainer.data import read_examples
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.heads import return_token_losses
from backspin_trainer.spec import TrainSpec, read_spec
from backspin_trainer.stop import Stop
from backspin_trainer.train import train

CHOSEN = torch.tensor([-0.5, -1.0, -0.2]) - torch.tensor([-0.7, -1.4, -0.9])
REJECTED = torch.tensor([-0.4, -2.0]) - torch.tensor([-0.3, -1.5])
ANSWERS = ["a town", "the river is long", "no", "birds sing at night"]


def loss(chosen: list[float], rejected: list[float], beta: float = 0.1) -> float:
    sums = [(torch.tensor(weights) * ratios).sum() for weights, ratios in ((chosen, CHOSEN), (rejected, REJECTED))]
    return loss_of(torch.stack(sums), beta)


def loss_of(ratios: torch.Tensor, beta: float, loss: str = "sigmoid", gamma: float | None = None) -> float:
    """The mean loss of the pairs."""
    return preferences.pair_losses(SimpleNamespace(loss=loss, beta=beta, gamma=gamma), ratios).mean().item()


def logps(policy, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return preferences.weighted_logps(preferences.token_losses(policy, batch), batch)


def pairs(count: int = 12) -> list[dict]:
    return [
        {
            "prompt": [{"role": "system", "content": "Answer."}, {"role": "user", "content": f"Which {n}?" * (1 + n % 3)}],
            "chosen": ANSWERS[n % 4],
            "rejected": ANSWERS[(n + 1 + n // 4) % 4] + "!",
        }
        for n in range(count)
    ]


def weighted(tokenizer, weight=lambda at: 0.5 + at % 3, count: int = 12) -> list[dict]:
    def side(text: str) -> dict:
        ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
        return {"ids": ids, "weights": [weight(at) for at in range(len(ids))]}

    return [pair | {name: side(pair[name]) for name in ("chosen", "rejected")} for pair in pairs(count)]


def spec(model: Path, rows: list[dict], run: Path, objective: str = "token-dpo", **changes) -> dict:
    run.mkdir(parents=True, exist_ok=True)
    data = world.write_rows(run / "rows.jsonl", rows)
    return world.train_spec(model, data, run, objective=objective, beta=0.1, **changes)


def read(given: dict) -> TrainSpec:
    path = Path(given["run"]) / "train.json"
    path.write_text(json.dumps(given))
    return read_spec(str(path), TrainSpec)


def losses(given: dict) -> list[float]:
    assert train(read(given), Stop()) == Exit.DONE
    return [event["loss"] for event in world.events(Path(given["run"])) if event["event"] == "step"]


def stock_dpo(policy, reference: Path, tokenizer, rows: list[dict], **settings) -> DPOTrainer:
    """TRL's trainer on `rows`."""
    side = lambda text: [{"role": "assistant", "content": text}]  # noqa: E731
    return DPOTrainer(
        model=policy,
        ref_model=AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list([row | {name: side(row[name]) for name in ("chosen", "rejected")} for row in rows]),
        args=DPOConfig(output_dir=str(reference / "trl"), beta=0.1, use_cpu=True, bf16=False, report_to="none", max_length=None, **settings),
    )


def batch_of(model: Path, rows: list[dict], run: Path, tokenizer, **changes) -> tuple[object, dict[str, torch.Tensor]]:
    examples = read_examples(read(spec(model, rows, run, **changes)), tokenizer).dataset
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    return_token_losses(policy)
    return policy, preferences.pair_collator(tokenizer.pad_token_id)(list(examples))


def test_1_with_weights_of_1_the_loss_is_that_of_dpo():
    assert loss([1, 1, 1], [1, 1]) == pytest.approx(0.602653, abs=1e-6)


def test_2_weights_scale_what_each_token_adds():
    assert loss([0.6, 2.0, 1.2], [0.0, 1.5]) == pytest.approx(0.575502, abs=1e-6)


def test_3_weights_of_0_and_a_policy_that_is_its_reference_give_ln_2():
    assert loss([0, 0, 0], [0, 0]) == pytest.approx(math.log(2), abs=1e-6)
    assert loss_of(torch.zeros(4), 0.7) == pytest.approx(math.log(2), abs=1e-6)


def test_4_weights_of_c_are_dpo_at_c_times_beta():
    assert loss([2, 2, 2], [2, 2]) == pytest.approx(0.521090, abs=1e-6)
    assert loss([2, 2, 2], [2, 2]) == pytest.approx(loss([1, 1, 1], [1, 1], 0.2), abs=1e-6)


def test_5_without_the_first_token_of_each_answer():
    assert loss([0, 1, 1], [0, 1]) == pytest.approx(0.616344, abs=1e-6)


def test_7_no_gradient_flows_into_weights_and_none_from_tokens_of_weight_0(tmp_path, model, tokenizer):
    policy, batch = batch_of(model, weighted(tokenizer, lambda at: 0.0), tmp_path / "run", tokenizer)
    logps(policy, batch).sum().backward()
    assert all(not weight.grad.any() for weight in policy.parameters())
    assert not batch["token_weights"].requires_grad


def test_10_there_is_a_weight_for_each_token_of_an_answer_and_padding_changes_nothing(tmp_path, model, tokenizer):
    rows = weighted(tokenizer)
    policy, batch = batch_of(model, rows, tmp_path / "run", tokenizer)
    for n, row in enumerate(rows):
        for at, side in ((n, "chosen"), (n + len(rows), "rejected")):
            learnt = batch["labels"][at] != -100
            assert batch["labels"][at][learnt].tolist() == batch["input_ids"][at][learnt].tolist() == row[side]["ids"]
            assert batch["token_weights"][at][learnt].tolist() == row[side]["weights"]
            assert not batch["token_weights"][at][~learnt].any()
    with torch.no_grad():
        together = logps(policy, batch)
        for n, row in enumerate(rows):
            _, alone = batch_of(model, [row], tmp_path / str(n), tokenizer)
            each = logps(policy, alone)
            assert torch.allclose(each, together[[n, n + len(rows)]], atol=1e-4)


def test_dpo_equals_the_loss_of_trl_on_the_same_batch(tmp_path, model, tokenizer):
    rows = pairs()
    policy, batch = batch_of(model, rows, tmp_path / "run", tokenizer, objective="dpo")
    with torch.no_grad():
        reference = logps(policy, batch)
        torch.manual_seed(0)
        for weight in policy.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
        ours = loss_of(logps(policy, batch) - reference, 0.1)
    del policy.forward  # logits again
    stock = stock_dpo(policy, model, tokenizer, rows)
    stock.model.eval()
    with torch.no_grad():
        theirs = stock.compute_loss(stock.model, stock.data_collator(list(stock.train_dataset)))
    assert ours == pytest.approx(theirs.item(), abs=1e-6)
    assert abs(ours - math.log(2)) > 1e-4


def test_token_dpo_with_weights_of_1_trains_as_dpo_does(tmp_path, model, tokenizer):
    one = losses(spec(model, pairs(), tmp_path / "dpo", "dpo"))
    assert one == pytest.approx(losses(spec(model, weighted(tokenizer, lambda at: 1), tmp_path / "token")), abs=1e-6)
    assert one[-1] < one[0]


@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8, "targets": None, "dropout": 0.0}])
def test_3_training_begins_at_ln_2_since_the_reference_is_the_model_that_it_begins_with(
    tmp_path, model, tokenizer, lora
):
    first = losses(spec(model, weighted(tokenizer), tmp_path / "run", lora=lora, steps=2))[0]
    assert first == pytest.approx(math.log(2), abs=1e-6)


def test_3_an_adapter_that_is_gone_on_with_has_itself_as_it_was_for_a_reference(tmp_path, model, tokenizer):
    adapter = world.make_adapter(model, tmp_path / "adapter", seed=1, targets=("q_proj", "v_proj"))
    lora = json.loads((adapter / "adapter_config.json").read_text())
    same = {"rank": lora["r"], "alpha": lora["lora_alpha"], "targets": ["q_proj", "v_proj"], "dropout": 0.0}
    for way in ("continue", "merge"):
        given = spec(adapter, weighted(tokenizer), tmp_path / way, lora=same, base=str(model), adapter=way, steps=2)
        assert losses(given)[0] == pytest.approx(math.log(2), abs=1e-5)


def test_another_model_can_be_the_reference(tmp_path, model, tokenizer):
    other = world.make_model(tmp_path / "other", seed=7)
    given = spec(model, weighted(tokenizer), tmp_path / "run", reference={"folder": str(other), "base": None}, steps=2)
    assert abs(losses(given)[0] - math.log(2)) > 1e-4


def test_a_loss_without_a_reference_computes_none(tmp_path, model, tokenizer):
    given = spec(model, weighted(tokenizer), tmp_path / "run", loss="orpo", steps=2)
    losses(given)
    assert not (tmp_path / "run" / "reference").exists()


def test_the_share_of_sft_is_that_of_trl(tmp_path, model, tokenizer):
    rows = pairs(4)
    ours = losses(spec(model, rows, tmp_path / "run", "dpo", steps=1, sft=0.3))[0]
    stock = stock_dpo(AutoModelForCausalLM.from_pretrained(model), model, tokenizer, rows, loss_type=["sigmoid", "sft"], loss_weights=[1, 0.3])
    with torch.no_grad():
        theirs = stock.compute_loss(stock.model.eval(), stock.data_collator(list(stock.train_dataset)))
    assert ours == pytest.approx(theirs.item(), abs=1e-5)


def test_killed_between_checkpoints_a_run_ends_with_the_very_weights_of_an_undisturbed_one(tmp_path, model, tokenizer):
    whole, killed = (spec(model, weighted(tokenizer), tmp_path / name, steps=8) for name in ("whole", "killed"))
    assert train(read(whole), Stop()) == Exit.DONE
    process = world.start("train", killed, tmp_path / "killed.json")
    run = Path(killed["run"])
    world.wait_for(process, lambda: any(event.get("step") == 5 for event in world.events(run)))
    process.kill()
    process.wait()
    assert (run / "reference" / "00000.pt").is_file() and not (run / "model").exists()
    assert train(read(killed), Stop()) == Exit.DONE
    assert world.contents(run / "model") == world.contents(Path(whole["run"]) / "model")


@pytest.mark.parametrize(
    ("objective", "change", "says"),
    [
        ("dpo", {"prompt": []}, 'invalid: needs "prompt"'),
        ("dpo", {"prompt": [{"role": "assistant", "content": "a"}]}, "that ends before the assistant"),
        ("dpo", {"chosen": None}, 'invalid: needs "chosen", a string'),
        ("dpo", {"rejected": " \n"}, "empty: there is nothing to learn"),
        ("dpo", {"rejected": "long " * 80}, "too-long: has "),
        ("dpo", {"weight": -1}, "invalid: has weight -1"),
        ("token-dpo", {"rejected": "text"}, 'needs "rejected", an answer\'s token "ids"'),
        ("token-dpo", {"rejected": {"ids": [5], "weights": [1, 1]}}, 'as many "weights"'),
        ("token-dpo", {"rejected": {"ids": [999999], "weights": [1]}}, "of this tokenizer"),
        ("token-dpo", {"rejected": {"ids": [5], "weights": [-1]}}, "of at least 0"),
        ("token-dpo", {"rejected": {"ids": [], "weights": []}}, 'token "ids"'),
        ("token-dpo", {"rejected": {"ids": [5] * 80, "weights": [1] * 80}}, "too-long: has "),
    ],
)
def test_a_row_that_is_no_preference_is_refused_and_no_other_with_it(
    tmp_path, model, tokenizer, objective, change, says
):
    rows = (pairs if objective == "dpo" else lambda: weighted(tokenizer))()
    rows[3] = rows[3] | change
    examples = read_examples(read(spec(model, rows, tmp_path / "run", objective)), tokenizer)
    [refused] = examples.refused
    assert refused["line"] == 4 and says in f"{refused['reason']}: {refused['evidence']}"
    assert examples.kept == len(examples.dataset) == len(rows) - 1


def test_answers_that_are_too_long_are_cut_with_their_weights_where_that_is_asked_for(tmp_path, model, tokenizer):
    rows = weighted(tokenizer)
    rows[0] = rows[0] | {"rejected": {"ids": [5] * 80, "weights": list(range(80))}}
    given = read(spec(model, rows, tmp_path / "run", "token-dpo", tooLong="truncate"))
    examples = read_examples(given, tokenizer)
    available = given.max_tokens - len(examples.dataset[0]["input_ids"])
    assert (examples.truncated, examples.refused) == (1, [])
    assert examples.dataset[0]["rejected"] == [5] * available and examples.dataset[0]["rejected_weights"] == list(range(available))


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "sft"},
        {"objective": "dpo", "beta": None},
        {"objective": "dpo", "beta": 0.0},
        {"objective": "sft", "beta": None, "reference": {"folder": "x", "base": None}},
        {"objective": "dpo", "loss": "orpo", "reference": {"folder": "x", "base": None}},
        {"objective": "dpo", "loss": "simpo"},
        {"objective": "dpo", "gamma": 1.0},
        {"objective": "dpo", "loss": "orpo", "sft": 0.5},
        {"objective": "sft", "beta": None, "sft": 0.5},
    ],
)
def test_settings_of_preferences_go_with_preferences_and_with_their_own_loss_alone(tmp_path, model, changes):
    with pytest.raises(Refusal, match=r"'(beta|reference|gamma|sft)'"):
        read(spec(model, pairs(), tmp_path / "run") | changes)
