"""The numbers of a training, each computed a second time by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import world
from safetensors.torch import load_file
from torch.nn.functional import logsigmoid
from training import parsed, run, steps
from transformers import AutoModelForCausalLM
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

from backspin_trainer import data, preferences
from backspin_trainer.exits import Exit
from backspin_trainer.heads import return_token_losses
from backspin_trainer.tokens import read_tokenizer

WEIGHTS = [0.6, 2.0, 1.2, 0.0, 1.5]


def trained(spec: dict) -> Path:
    assert run(spec) == Exit.DONE
    return Path(spec["run"]) / "model"


def first_loss(spec: dict) -> float:
    trained(spec)
    return steps(Path(spec["run"]))[0]["loss"]


def pair(number: int, tokenizer) -> dict:
    def side(text: str) -> dict:
        ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
        return {"ids": ids, "weights": [WEIGHTS[(at + number) % len(WEIGHTS)] for at in range(len(ids))]}

    prompt = [{"role": "user", "content": f"Which {number}?" * (1 + number % 2)}]
    return {"prompt": prompt, "chosen": side(world.TEXTS[number]), "rejected": side(world.TEXTS[-1 - number] + "!")}


def by_hand(network, prompt: list[int], answer: list[int], weights: list[float]) -> float:
    """Weighted sum of the log-probabilities of `answer`, token by token, each by a pass of its own."""
    total = 0.0
    for at, (token, weight) in enumerate(zip(answer, weights)):
        with torch.no_grad():
            logits = network(torch.tensor([prompt + answer[:at]])).logits[0, -1]
        total += weight * float(logits.log_softmax(-1)[token])
    return total


def sums_by_hand(network, examples: list[dict], side: str) -> list[float]:
    return [by_hand(network, one["input_ids"], one[side], one[f"{side}_weights"]) for one in examples]


@pytest.fixture
def spec_of_pairs(tmp_path, model, tokenizer):
    """Of one step on four pairs, which have `weights`."""

    def spec(weights: list[float] | None = None, **changes) -> dict:
        weighted = [pair(number, tokenizer) | ({"weight": weights[number]} if weights else {}) for number in range(4)]
        rows = world.write_rows(tmp_path / "pairs.jsonl", weighted)
        return world.train_spec(model, rows, tmp_path / "run", **{"objective": "token-dpo", "beta": 0.1, "steps": 1, **changes})

    return spec


def test_each_token_of_an_answer_counts_as_its_weight_says(spec_of_pairs, model, tokenizer):
    examples = list(data.read_examples(parsed(spec_of_pairs()), tokenizer).dataset)
    network = AutoModelForCausalLM.from_pretrained(model)
    taking = AutoModelForCausalLM.from_pretrained(model)
    return_token_losses(taking)
    with torch.no_grad():
        batch = preferences.pair_collator(tokenizer.pad_token_id)(examples)
        sums = preferences.weighted_logps(preferences.token_losses(taking, batch), batch)
    expected = [*sums_by_hand(network, examples, "chosen"), *sums_by_hand(network, examples, "rejected")]
    assert sums.tolist() == pytest.approx(expected, abs=1e-3)


PAIR_LOSSES = [
    {"loss": "sigmoid", "beta": 0.1},
    {"loss": "sigmoid", "beta": 0.5, "sft": 0.3},
    {"loss": "ipo", "beta": 0.2},
    {"loss": "orpo", "beta": 0.7},
    {"loss": "simpo", "beta": 2.0, "gamma": 0.5},
]


@pytest.mark.parametrize("settings", PAIR_LOSSES, ids=lambda settings: f"{settings['loss']}-{settings['beta']}")
@pytest.mark.parametrize("row_weights", [None, [1, 0, 2.5, 0.5]])
def test_the_loss_of_pairs_is_at_the_settings_of_the_spec_and_the_weights_of_rows(
    tmp_path, spec_of_pairs, model, tokenizer, settings, row_weights
):
    compares = settings["loss"] in ("sigmoid", "ipo")
    other = world.make_model(tmp_path / "other", seed=7)
    spec = spec_of_pairs(row_weights, **settings, reference={"folder": str(other), "base": None} if compares else None)
    examples = list(data.read_examples(parsed(spec), tokenizer).dataset)
    policy = AutoModelForCausalLM.from_pretrained(model)
    ratios = {side: torch.tensor(sums_by_hand(policy, examples, side)) for side in ("chosen", "rejected")}
    for side in ratios if compares else ():
        ratios[side] -= torch.tensor(sums_by_hand(AutoModelForCausalLM.from_pretrained(other), examples, side))
    for side in () if settings["loss"] == "sigmoid" else ratios:
        ratios[side] /= torch.tensor([sum(one[f"{side}_weights"]) for one in examples])
    weights = torch.tensor(row_weights or [1.0] * 4)
    expected = (weights * losses_by_hand(settings, **ratios)).mean()
    nll = -torch.tensor([by_hand(policy, one["input_ids"], one["chosen"], [1.0] * len(one["chosen"])) for one in examples])
    share = 1.0 if settings["loss"] == "orpo" else settings.get("sft", 0.0)
    expected += share * (weights * nll).sum() / sum(len(one["chosen"]) for one in examples)
    for micro_batch in (None, 1):
        changed = {**spec, "run": str(tmp_path / f"micro-{micro_batch}"), "microBatch": micro_batch}
        assert first_loss(changed) == pytest.approx(expected.item(), abs=1e-4)


def test_the_odds_of_an_answer_that_is_all_but_certain_are_finite_and_so_are_their_gradients():
    logps = torch.tensor([0.0, -1e-9, -1e-4, -0.7, -40.0], requires_grad=True)
    values = preferences.log_complement(logps)
    values.sum().backward()
    exact = torch.log(-torch.expm1(logps.detach().double().clamp(max=-1e-6)))
    assert values.tolist() == pytest.approx(exact.tolist(), abs=1e-3)
    assert logps.grad.isfinite().all() and logps.grad[2] < -1e3


def losses_by_hand(settings: dict, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """Those of TRL where no other formula is at hand."""
    cpu = SimpleNamespace(device="cpu")
    if settings["loss"] == "orpo":
        return -ORPOTrainer.odds_ratio_loss(SimpleNamespace(beta=settings["beta"], accelerator=cpu), chosen, rejected)[0]
    if settings["loss"] == "simpo":
        own = {"loss_type": "simpo", "alpha": 0.0, "label_smoothing": 0.0, "simpo_gamma": settings["gamma"]}
        return CPOTrainer.cpo_loss(SimpleNamespace(**own, beta=settings["beta"], accelerator=cpu), chosen, rejected)[0]
    margins = chosen - rejected
    return (margins - 1 / (2 * settings["beta"])) ** 2 if settings["loss"] == "ipo" else -logsigmoid(settings["beta"] * margins)


@pytest.mark.parametrize(
    ("clip", "betas", "decay"), [(1.0, [0.9, 0.98], 0.01), (0.05, [0.5, 0.6], 0.3), (None, [0.8, 0.9], 0.0)]
)
def test_two_steps_are_those_of_adamw_by_hand_with_clip_betas_and_decay(tmp_path, model, rows, clip, betas, decay):
    rate, eps = 1e-3, 1e-8
    settings = {"steps": 2, "learningRate": {"from": rate, "to": rate}, "schedule": "linear"}
    spec = world.train_spec(model, rows, tmp_path / "run", clip=clip, betas=betas, weightDecay=decay, **settings)
    examples = data.read_examples(parsed(spec), read_tokenizer(str(model))).dataset
    order = list(data.sample_order(examples, parsed(spec)))
    network = AutoModelForCausalLM.from_pretrained(model)
    moments = {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in network.named_parameters()}
    for step in (1, 2):
        network.zero_grad()
        batch = [examples[index] for index in order[(step - 1) * 4 : step * 4]]
        learnt = sum(label != -100 for row in batch for label in row["labels"])
        for row in batch:
            logps = network(torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
            at = [place for place, label in enumerate(row["labels"]) if label != -100]
            (-sum(logps[place - 1, row["input_ids"][place]] for place in at) / learnt).backward()
        norm = torch.stack([w.grad.norm() for w in network.parameters()]).norm().item()
        scale = 1.0 if clip is None else min(1.0, clip / (norm + 1e-6))
        with torch.no_grad():
            for name, weight in network.named_parameters():
                first, second = moments[name]
                first.mul_(betas[0]).add_(weight.grad * scale, alpha=1 - betas[0])
                second.mul_(betas[1]).add_((weight.grad * scale) ** 2, alpha=1 - betas[1])
                weight.mul_(1 - rate * (decay if weight.dim() > 1 else 0.0))
                unbiased = (second / (1 - betas[1] ** step)).sqrt() + eps
                weight.sub_(rate * first / (1 - betas[0] ** step) / unbiased)
    made = load_file(trained(spec) / "model.safetensors")
    for name, weight in network.named_parameters():
        if name in made:
            torch.testing.assert_close(made[name], weight.detach(), atol=2e-5, rtol=0)


def test_an_adapter_has_the_alpha_and_the_dropout_of_its_spec(tmp_path, model, rows):
    lora = {"rank": 4, "alpha": 3, "targets": ["q_proj"], "dropout": 0.25}
    config = json.loads((trained(world.train_spec(model, rows, tmp_path / "run", lora=lora)) / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (4, 3, 0.25)
    drops = {**world.train_spec(model, rows, tmp_path / "dropped", lora={**lora, "alpha": 64}), "steps": 3}
    keeps = {**drops, "run": str(tmp_path / "kept"), "lora": {**drops["lora"], "dropout": 0.0}}
    assert world.contents(trained(drops))["adapter_model.safetensors"] != world.contents(trained(keeps))["adapter_model.safetensors"]
