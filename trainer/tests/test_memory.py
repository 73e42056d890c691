"""Micro-batches, losses in chunks, and precision: what decides how much memory a training takes, and nothing else."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import world
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from training import parsed, refused, run, steps
from transformers import AutoModelForCausalLM

from backspin_trainer import data, heads, preferences, reference, training
from backspin_trainer import train as train_module
from backspin_trainer.adapters import causal_lm
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.training import Training

LORA = {"rank": 4, "alpha": 8, "targets": None, "dropout": 0.0}
ANSWERS = ["a town", "the river is long and old and blue", "no", "birds sing at night"]


def weighted_chats() -> list[dict]:
    """Answers of different lengths, so that micro-batches have different numbers of labels."""
    return [
        {**row, "weight": 0.5 + at % 3, "messages": [*row["messages"][:-1], {"role": "assistant", "content": ANSWERS[at % 4]}]}
        for at, row in enumerate(world.chat_rows(16))
    ]


def pairs() -> list[dict]:
    return [
        {
            "prompt": [{"role": "user", "content": f"Which {n}?" * (1 + n % 3)}],
            "chosen": ANSWERS[n % 4],
            "rejected": ANSWERS[(n + 1) % 4] + "!",
        }
        for n in range(16)
    ]


def completions() -> list[dict]:
    return [{"prompt": pair["prompt"], "completion": pair["chosen"], "label": n % 3 > 0} for n, pair in enumerate(pairs())]


OBJECTIVES = {"sft": (weighted_chats, {}), "dpo": (pairs, {"objective": "dpo", "beta": 0.1})}
UNPAIRED = {"kto": (completions, {"objective": "kto", "beta": 0.1})}


def spec(model: Path, folder: Path, objective: str = "sft", **changes) -> dict:
    rows, settings = (OBJECTIVES | UNPAIRED)[objective]
    folder.mkdir(parents=True, exist_ok=True)
    file = world.write_rows(folder / "rows.jsonl", rows())
    small = {"learningRate": {"from": 1e-5, "to": 1e-5}, "steps": 3, "batch": 8}
    return world.train_spec(model, file, folder / "run", **{**small, **settings, **changes})


def weights_of(given: dict) -> dict[str, torch.Tensor]:
    assert run(given) == Exit.DONE
    [file] = (Path(given["run"]) / "model").glob("*.safetensors")
    return load_file(file)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_micro_batches_of_1_and_of_8_give_the_same_weights_and_events(tmp_path, model, objective):
    specs = [spec(model, tmp_path / str(size), objective, microBatch=size) for size in (1, 8)]
    one, eight = map(weights_of, specs)
    assert all(torch.allclose(one[name], eight[name], atol=1e-6, rtol=0) for name in one)
    start = AutoModelForCausalLM.from_pretrained(model).state_dict()
    assert max(float((eight[name] - start[name]).abs().max()) for name in eight) > 1e-5
    for small, whole in zip(*(steps(Path(given["run"])) for given in specs), strict=True):
        assert set(small) == set(whole)
        for name in set(small) - {"seconds", "memory", "padding", "event"}:
            assert small[name] == pytest.approx(whole[name], abs=2e-5, rel=2e-5), name


def test_a_micro_batch_divides_the_share_of_a_device(tmp_path, model):
    for most, rows in ((None, 12), (12, 12), (5, 4), (11, 6), (1, 1), (99, 12)):
        given = spec(model, tmp_path / str(most)) | {"batch": 12, "microBatch": most}
        assert training.micro_batch(parsed(given)) == rows


@pytest.mark.parametrize("most", [1, 4])
def test_the_reference_is_computed_for_no_more_pairs_at_once_than_the_training_has(tmp_path, model, monkeypatch, most):
    losses, seen = reference.token_losses, []

    def noted(model, batch):
        seen.append(len(batch["input_ids"]) // 2)  # a chosen and a rejected answer each
        return losses(model, batch)

    monkeypatch.setattr(reference, "token_losses", noted)
    assert run(spec(model, tmp_path, "dpo", microBatch=most)) == Exit.DONE
    assert sum(seen) == len(pairs()) and max(seen) == most


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_out_of_memory_ends_a_run_with_71_and_a_smaller_micro_batch_goes_on_from_the_checkpoint(
    tmp_path, model, objective, monkeypatch
):
    given = spec(model, tmp_path / "run", objective, steps=4, checkpointEvery=1)
    class_, compute = (Training if objective == "sft" else training.PreferenceTraining), {}
    compute["loss"] = class_.compute_loss

    def limited(self, model, inputs, *rest, **others):
        if self.state.global_step == 2 and len(inputs["input_ids"]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return compute["loss"](self, model, inputs, *rest, **others)

    monkeypatch.setattr(class_, "compute_loss", limited)
    error = refused(given)
    events = world.events(Path(given["run"]))
    assert error.code == Exit.MEMORY == events[-1]["code"] and "Tried to allocate 20.00 GiB" in events[-1]["message"]
    assert events[0]["microBatch"] == 8
    assert run(given | {"microBatch": 4 if objective == "sft" else 2}) == Exit.DONE
    resumed = [event for event in world.events(Path(given["run"])) if event["event"] == "start"][-1]
    assert resumed["resumedFrom"] == 2 and resumed["microBatch"] < 8
    monkeypatch.undo()
    undisturbed = weights_of(spec(model, tmp_path / "undisturbed", objective, steps=4))
    again = load_file(Path(given["run"]) / "model" / "model.safetensors")
    assert all(torch.allclose(again[name], undisturbed[name], atol=1e-6, rtol=0) for name in again)


FREES = """
import torch
from backspin_trainer.device import return_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

return_freed_memory()
torch.ones(5)
before, kept = resident(), []
for size in (7, 5, 3, 2):  # MB; what is small and stays divides the heap
    tensors = [[torch.ones(size << 18), bytearray(1000)] for _ in range(20)]
    kept.append([small for _, small in tensors])
    del tensors
print(resident() - before)
"""


def test_freed_tensors_go_back_to_the_system():
    environment = {**os.environ, "PYTHONPATH": str(world.PACKAGE)}
    made = subprocess.run([sys.executable, "-c", FREES], env=environment, capture_output=True, text=True, check=True)
    assert float(made.stdout) < 40  # MB; glibc keeps 100 of them by default


def test_a_training_asks_for_that_before_it_reads_the_model(tmp_path, model, monkeypatch):
    asked = []

    def stop_here(*_):
        asked.append("read")
        raise Refusal(Exit.MODEL, "Nothing is trained.")

    monkeypatch.setattr(train_module, "return_freed_memory", lambda: asked.append("before"))
    monkeypatch.setattr(train_module, "opened", stop_here)
    refused(spec(model, tmp_path / "run"))
    assert asked == ["before", "read"]


class LargestLogits(TorchDispatchMode):
    """The most numbers of any tensor [..., vocabulary] that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [one.numel() for one in tree_flatten(result)[0] if isinstance(one, torch.Tensor) and one.shape[-1:] == (300,)]
        self.numbers = max(self.numbers, *made, 0)
        return result


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_no_loss_holds_the_logits_of_whole_sequences_and_chunks_change_no_gradient(
    tmp_path, model, tokenizer, objective, monkeypatch
):
    examples = list(data.read_examples(parsed(spec(model, tmp_path / "run", objective)), tokenizer).dataset)
    batch = preferences.pair_collator(0)(examples) if objective == "dpo" else _padded(examples)
    gradients, chunk = [], 5
    for numbers in (1 << 25, 300 * chunk):
        monkeypatch.setattr(heads, "_LOGITS", numbers)
        network = AutoModelForCausalLM.from_pretrained(model)
        heads.return_token_losses(network)
        with LargestLogits() as largest:
            if objective == "dpo":
                preferences.weighted_logps(preferences.token_losses(network, batch), batch).sigmoid().sum().backward()
            else:
                network(**batch)["nll"].sum().backward()
        gradients.append([weight.grad for weight in network.parameters()])
    learnt = int((batch["labels"] != -100).sum())
    head = network.lm_head.weight.numel()
    assert largest.numbers <= max(head, 300 * chunk) < learnt * 300
    assert all(torch.allclose(one, other, atol=1e-4, rtol=1e-4) for one, other in zip(*gradients))


def _padded(examples: list[dict]) -> dict[str, torch.Tensor]:
    length = max(len(example["input_ids"]) for example in examples)
    pad = lambda values, fill: torch.tensor([row + [fill] * (length - len(row)) for row in values])  # noqa: E731
    ids, labels = ([example[name] for example in examples] for name in ("input_ids", "labels"))
    return {"input_ids": pad(ids, 0), "attention_mask": pad([[1] * len(row) for row in ids], 0), "labels": pad(labels, -100)}


@pytest.mark.parametrize("objective", ["sft", "dpo", "kto"])
@pytest.mark.parametrize("lora", [None, LORA], ids=["whole", "lora"])
def test_activations_that_are_computed_again_as_on_a_gpu_change_no_weight(tmp_path, model, objective, lora, monkeypatch):
    seen, weights = [], []
    trains = Training.training_step
    monkeypatch.setattr(Training, "training_step", lambda self, *rest: seen.append(causal_lm(self.model).is_gradient_checkpointing) or trains(self, *rest))
    for again in (False, True):
        monkeypatch.setattr(training, "recomputes_activations", lambda: again)  # noqa: B023
        weights.append(weights_of(spec(model, tmp_path / str(again), objective, lora=lora, steps=2, microBatch=4)))
    assert seen == [False] * 4 + [True] * 4
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-6, rtol=0) for name in weights[0])


@pytest.mark.parametrize("lora", [None, LORA], ids=["whole", "lora"])
def test_in_the_precision_of_a_gpu_preferences_begin_at_ln_2_and_adapters_are_fp32_on_a_bf16_base(
    tmp_path, model, lora, monkeypatch
):
    for module in (train_module, training, reference):
        monkeypatch.setattr(module, "computes_in_bf16", lambda: True)
    seen = {}
    trains = training.PreferenceTraining.training_step

    def look(self, network, *rest):
        seen.update({name: weight.dtype for name, weight in network.named_parameters()})
        return trains(self, network, *rest)

    monkeypatch.setattr(training.PreferenceTraining, "training_step", look)
    given = spec(model, tmp_path / "run", "dpo", lora=lora, microBatch=4)
    weights = weights_of(given)
    assert steps(Path(given["run"]))[0]["loss"] == pytest.approx(math.log(2), abs=5e-3)
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    assert {dtype for name, dtype in seen.items() if "lora_" in name or not lora} == {torch.float32}
    if lora:
        assert {dtype for name, dtype in seen.items() if "lora_" not in name} == {torch.bfloat16}
