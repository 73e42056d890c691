from __future__ import annotations

import json

import pytest
import world

from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.spec import Init, ServeSpec, TrainSpec, read_spec


def refused(tmp_path, spec: dict, cls=TrainSpec) -> str:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))
    with pytest.raises(Refusal) as error:
        read_spec(str(path), cls)
    assert error.value.code == Exit.SPEC
    return str(error.value)


ARCHITECTURE = {
    "hiddenSize": 8,
    "layers": 1,
    "heads": 2,
    "headSize": 4,
    "kvHeads": 2,
    "mlp": 8,
    "context": 8,
    "tied": True,
    "std": 0.02,
}
INIT = {"architecture": ARCHITECTURE, "tokenizer": "/t", "seed": 3}
LORA = {"rank": 4, "alpha": 8, "targets": None, "dropout": 0.0}


def test_a_whole_spec_is_read_with_its_nested_parts(tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(world.train_spec(None, "/d", tmp_path, init=INIT, learningRate={"from": 1, "to": 0})))
    spec = read_spec(str(path), TrainSpec)
    assert isinstance(spec.init, Init) and spec.init.architecture.kv_heads == 2
    assert spec.learning_rate.from_ == 1.0 and spec.betas == (0.9, 0.98) and spec.keep_checkpoints == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stepz": 3}, "'stepz' is unknown; did you mean 'steps'?"),
        ({"learningRate": {"from": 1.0, "too": 1.0}}, "'learningRate.too' is unknown; did you mean 'to'?"),
        ({"steps": "3"}, "'steps' must be an integer"),
        ({"steps": True}, "'steps' must be an integer"),
        ({"steps": 0}, "'steps' must be at least 1"),
        ({"clip": "no"}, "'clip' must be a finite number"),
        ({"betas": [0.9]}, "'betas' must be a list of 2 numbers"),
        ({"objective": "ppo"}, "'objective' must be one of"),
        ({"version": 2}, "'version' must be one of 1"),
        ({"warmup": 2}, "'warmup' must be a share"),
        ({"from": None}, "exactly one of 'from' and 'init'"),
        ({"init": INIT}, "exactly one of 'from' and 'init'"),
        ({"init": {"architecture": ARCHITECTURE, "tokenizer": "/t"}, "from": None}, "'init.seed' is missing"),
        ({"lora": {**LORA, "rank": 0}}, "'lora.rank' must be at least 1"),
        ({"objective": "tagger", "lora": LORA}, "'lora' must be null for a tagger"),
        ({"objective": "tagger", "from": None, "init": INIT}, "'init' must be null for a tagger"),
        ({"lora": {**LORA, "targets": "all"}}, "'lora.targets' must be a list"),
        ({"lora": LORA, "from": None, "init": INIT}, "'lora' needs weights to adapt"),
        ({"base": "/b", "from": None, "init": INIT}, "'base' goes with an adapter"),
        ({"base": "/b", "adapter": "continue"}, "'adapter' must be 'merge' where all weights are trained"),
    ],
)
def test_a_wrong_key_is_named_with_what_to_do(tmp_path, changes, says):
    assert says in refused(tmp_path, world.train_spec(tmp_path, "/d", tmp_path, **changes))


def test_a_serve_spec_without_a_model_is_refused(tmp_path):
    assert "'models' names no model" in refused(tmp_path, {"version": 1, "models": {}, "ready": "/r"}, ServeSpec)


def test_the_command_ends_with_64_and_one_sentence_and_no_traceback(tmp_path):
    process = world.start("train", {"version": 1}, tmp_path / "spec.json")
    assert process.wait() == 64
    assert (tmp_path / "spec.json.log").read_text() == "Spec key 'objective' is missing; add it.\n"


def test_doctor_finds_this_python_fit_and_says_so_in_json(tmp_path):
    process = world.start("doctor", {}, tmp_path / "unused.json")
    report = json.loads(process.communicate()[0])
    assert process.returncode == 0 and report["ok"] and report["problems"] == []
    assert report["torch"].startswith("2.13") and report["threads"] >= 1
