from __future__ import annotations

import concurrent.futures
import json
import weakref
from pathlib import Path

import client
import pytest
import torch
import world
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from backspin_trainer.adapters import merge
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.llama import Llama
from backspin_trainer.spec import MergeSpec, ModelFolders, TrainSpec, read_spec
from backspin_trainer.stop import Stop
from backspin_trainer.train import train
from backspin_trainer.weights import read_weights

LORA = {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj"], "dropout": 0.0}
STILL = {"learningRate": {"from": 0.0, "to": 0.0}, "steps": 2}


@pytest.fixture(scope="module")
def one(tmp_path_factory, model) -> Path:
    return world.make_adapter(model, tmp_path_factory.mktemp("adapter") / "one", seed=1, targets=("q_proj", "v_proj"))


@pytest.fixture(scope="module")
def two(tmp_path_factory, model) -> Path:
    targets = ("o_proj", "gate_proj", "up_proj", "down_proj")
    return world.make_adapter(model, tmp_path_factory.mktemp("adapter") / "two", seed=2, targets=targets)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, model, rows) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert run(world.train_spec(model, rows, folder, lora=LORA)) == Exit.DONE
    return folder / "model"


def run(spec: dict) -> Exit:
    path = Path(spec["run"]).with_suffix(".json")
    path.write_text(json.dumps(spec))
    return train(read_spec(str(path), TrainSpec), Stop())


def merged(adapter: Path, base: Path, to: Path) -> Path:
    assert merge(MergeSpec(1, str(adapter), str(base), str(to))) == Exit.DONE
    return to


def at(adapter: Path, base: Path) -> ModelFolders:
    return ModelFolders(str(adapter), str(base))


def test_a_merged_model_says_what_base_and_adapter_say_together_and_is_the_same_each_time(tmp_path, model, one):
    folder = merged(one, model, tmp_path / "one")
    ids = torch.randint(3, 300, (2, 30))
    with torch.no_grad():
        theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), one)(ids).logits
        ours = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        plain = AutoModelForCausalLM.from_pretrained(model)(ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours, plain, atol=1e-2)
    assert AutoTokenizer.from_pretrained(folder).chat_template == world.TEMPLATE
    assert world.contents(folder) == world.contents(merged(one, model, tmp_path / "again"))


def test_the_merge_verb_refuses_parts_that_do_not_fit_with_66(tmp_path, model, untied, one):
    spec = {"version": 1, "adapter": str(one), "base": str(untied), "to": str(tmp_path / "to")}
    process = world.start("merge", spec, tmp_path / "merge.json")
    assert process.wait() == Exit.MODEL and not (tmp_path / "to").exists()
    assert "does not fit its base" in (tmp_path / "merge.json.log").read_text()
    with pytest.raises(Refusal, match="No adapter in"):
        merge(MergeSpec(1, str(model), str(model), str(tmp_path / "to")))


def test_an_adapter_is_trained_where_its_targets_are_and_lowers_the_loss(trained):
    config = json.loads((trained / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (4, 8, ["q_proj", "v_proj"])
    losses = [event["loss"] for event in world.events(trained.parent) if event["event"] == "step"]
    assert losses[-1] < losses[0]


def test_an_adapter_that_is_gone_on_with_at_rate_zero_stays_as_it_is_byte_for_byte(tmp_path, model, rows, trained):
    spec = world.train_spec(trained, rows, tmp_path / "run", base=str(model), lora=LORA, adapter="continue", **STILL)
    assert run(spec) == Exit.DONE
    assert world.contents(tmp_path / "run" / "model") == world.contents(trained)


@pytest.mark.parametrize("lora", [LORA, None], ids=["lora", "whole"])
def test_an_adapter_that_is_merged_first_is_in_the_weights_from_which_training_starts(
    tmp_path, model, rows, trained, lora
):
    folder = tmp_path / "run"
    assert run(world.train_spec(trained, rows, folder, base=str(model), lora=lora, **STILL)) == Exit.DONE
    whole = merged(trained, model, tmp_path / "merged")
    assert world.contents(folder / "base") == world.contents(whole)
    result = folder / "model" if lora is None else merged(folder / "model", folder / "base", tmp_path / "result")
    assert world.contents(result) == world.contents(whole)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rank": 8}, "'lora.rank' is not what the adapter in .* was begun with, 4"),
        ({"targets": None}, "'lora.targets' is not what"),
    ],
)
def test_an_adapter_is_gone_on_with_under_its_own_settings_alone(tmp_path, model, rows, trained, changes, says):
    continued = {"base": str(model), "adapter": "continue", "lora": {**LORA, **changes}}
    spec = world.train_spec(trained, rows, tmp_path / "run", **continued)
    with pytest.raises(Refusal, match=says) as error:
        run(spec)
    assert error.value.code == Exit.SPEC


@pytest.mark.parametrize("targets", [["q_proj", "proj_q"], ["lm_head"], []])
def test_targets_that_are_no_layers_are_refused_with_those_there_are(tmp_path, untied, rows, targets):
    with pytest.raises(Refusal, match=r"must name linear layers of the model, which has down_proj, gate_proj, k_proj"):
        run(world.train_spec(untied, rows, tmp_path / "run", lora={**LORA, "targets": targets}))


def test_adapters_share_with_their_base_what_they_leave_alone(tmp_path, model, one):
    base, adapted = read_weights(ModelFolders(str(model))), read_weights(at(one, model))
    assert adapted.base is base and read_weights(at(one, model)) is adapted
    changed = {name for name, tensor in adapted.tensors.items() if tensor is not base.tensors[name]}
    assert changed == {name for name in base.tensors if "q_proj" in name or "v_proj" in name}
    whole = read_weights(ModelFolders(str(merged(one, model, tmp_path / "one"))))
    assert all(torch.equal(adapted.tensors[name], tensor) for name, tensor in whole.tensors.items())


def test_an_adapter_that_is_served_holds_the_weights_of_its_base_for_others_and_lets_its_merged_ones_go(model, one):
    weights = read_weights(at(one, model))
    served = Llama(weights, slots=2, threads=1, context=32)
    merged, base = weakref.ref(weights), weakref.ref(weights.base)
    del weights
    assert merged() is None, "beside the packed matrices there is a second copy of them"
    assert served and read_weights(ModelFolders(str(model))) is base()


def test_an_adapter_that_the_server_cannot_run_is_refused_by_what_it_has(tmp_path, model, untied, one):
    strange = world.make_adapter(model, tmp_path / "strange", seed=1, targets=("q_proj",), use_rslora=True)
    with pytest.raises(Refusal, match=r"use_rslora, which .* serve it with vLLM"):
        read_weights(at(strange, model))
    with pytest.raises(Refusal, match="does not fit"):
        read_weights(at(one, untied))


def test_one_server_answers_for_a_base_and_its_adapters_each_as_the_merged_model_would_alone(tmp_path, model, one, two):
    wholes = {"whole-one": merged(one, model, tmp_path / "one"), "whole-two": merged(two, model, tmp_path / "two")}
    process, talk = client.start(tmp_path, {**wholes, "tied": model}, threads=2)

    def ask(name: str) -> list:
        return talk.complete(model=name, prompt="The river of", max_tokens=12, logprobs=2, seed=4)["choices"]

    try:
        wanted = {name: ask(f"whole-{name}") for name in ("one", "two")} | {"tied": ask("tied")}
        together = {"tied": client.whole(model), "one": {"folder": str(one), "base": str(model)}}
        assert talk.send("/models", together, method="PUT")[0] == 200
        load = {"lora_name": "two", "lora_path": str(two)}
        assert talk.send("/v1/load_lora_adapter", load) == (200, "Success: LoRA adapter 'two' added successfully.")
        entries = talk.send("/v1/models")[1]["data"]
        assert [(entry["id"], entry["root"], entry["parent"]) for entry in entries] == [
            ("tied", str(model), None),
            ("one", str(one), "tied"),
            ("two", str(two), "tied"),
        ]
        names = ["one", "two", "tied"] * 8
        with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
            assert list(pool.map(ask, names)) == [wanted[name] for name in names]
        assert len({json.dumps(reply) for reply in wanted.values()}) == 3

        for path, body, status, says in (
            ("load", load, 400, "already been loaded"),
            ("load", {"lora_name": "three"}, 400, "'lora_path' is missing"),
            ("load", {**load, "lora_name": "three", "load_inplace": True}, 400, "'load_inplace' is not supported"),
            ("load", {"lora_name": "three", "lora_path": str(tmp_path)}, 400, "No adapter in"),
            ("unload", {"lora_name": "tied"}, 404, "cannot be found"),
        ):
            refused, _, message = talk.refusal(f"/v1/{path}_lora_adapter", body)
            assert refused == status and says in message
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            late = pool.submit(talk.complete, model="two", prompt="The river of", n=128, max_tokens=12)
            world.wait_for(process, lambda: "vllm:num_requests_running 0" not in talk.send("/metrics")[1])
            assert talk.send("/v1/unload_lora_adapter", {"lora_name": "two"})[0] == 200
            assert len(late.result()["choices"]) == 128
        assert talk.refusal("/v1/completions", {"model": "two", "prompt": "x"})[0] == 404
        assert ask("one") == wanted["one"]
    finally:
        process.kill()
        process.wait()
