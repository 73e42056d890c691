"""What a training or a server would refuse a model for is said by `check`, from its small files alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
import world
from safetensors.torch import load_file, save_file

from backspin_trainer.check import check
from backspin_trainer.exits import Exit
from backspin_trainer.spec import CheckSpec, Lora, ModelUse


@pytest.fixture
def folder(tmp_path, model: Path) -> Path:
    shutil.copytree(model, tmp_path / "model")
    return tmp_path / "model"


def refusals(folder: Path, *uses: ModelUse, weights: bool = True) -> list[str | None]:
    to = folder.parent / "faults.json"
    names = [path.name for path in folder.glob("*.safetensors")] if weights else None
    assert check(CheckSpec(1, list(uses), str(to), str(folder), weights=names)) is Exit.DONE
    return json.loads(to.read_text())


def change(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(before | values))


TRAIN, SERVE = ModelUse("train", max_tokens=32), ModelUse("serve")


def test_a_sound_model_passes_with_its_weights_and_without_them(folder):
    uses = [TRAIN, ModelUse("train", "lm", 32, dropout=0.1), SERVE, ModelUse("score"), ModelUse("embed")]
    assert refusals(folder, *uses) == [None] * 5
    for path in folder.glob("*.safetensors"):
        path.unlink()
    assert refusals(folder, *uses) == [None] * 5


@pytest.mark.parametrize(
    ("use", "name", "values", "says"),
    [
        (ModelUse("train", max_tokens=4096), "config.json", {}, "'maxTokens' is 4096, but the model's context is"),
        (ModelUse("train", max_tokens=8, lora=Lora(4, 8.0, ["qproj"], 0.0)), "config.json", {}, "not qproj"),
        (ModelUse("train", "tagger", 8), "config.json", {}, "a tagger is made of an encoder"),
        (TRAIN, "config.json", {"quantization_config": {"quant_method": "fp8"}}, "are quantized (fp8)"),
        (TRAIN, "config.json", {"model_type": "martian"}, "martian"),
        (TRAIN, "config.json", {"vocab_size": 1, "pad_token_id": None}, "has the end token"),
        (TRAIN, "generation_config.json", {"num_return_sequences": 4}, "num_return_sequences"),
        (ModelUse("embed"), "modules.json", [{"type": "x.Dense", "path": "2_Dense"}], "kind Dense"),
        (SERVE, "config.json", {"vocab_size": 3}, "its model 3"),
        (SERVE, "config.json", {"attention_bias": True}, "has biases, which the embedded server lacks"),
        (SERVE, "config.json", {"quantization_config": {"quant_method": "fp8"}}, "quantized weights"),
        (SERVE, "config.json", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope type yarn"),
        (SERVE, "config.json", {"num_hidden_layers": 9}, "lacks the weight 'model.layers."),
        (SERVE, "config.json", {"num_hidden_layers": 1}, "has the weight model.layers.1."),
        (SERVE, "config.json", {"model_type": "gpt2"}, "serve it with vLLM"),
    ],
)
def test_each_refusal_is_said(folder, use, name, values, says):
    if isinstance(values, list):
        (folder / name).write_text(json.dumps(values))
    else:
        change(folder, name, **values)
    (fault,) = refusals(folder, use)
    assert fault and says in fault


@pytest.mark.parametrize("use", [TRAIN, SERVE, ModelUse("score"), ModelUse("embed")])
def test_quantized_weights_without_a_word_in_config_json_are_refused(folder, use):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.0.mlp.up_proj.weight"
    save_file(tensors | {name: tensors[name].to(torch.float8_e4m3fn)}, path, metadata={"format": "pt"})
    assert f"are quantized ({name})" in refusals(folder, use)[0]
    save_file(tensors | {f"{name}_scale_inv": torch.ones(1)}, path, metadata={"format": "pt"})
    assert f"are quantized ({name}_scale_inv)" in refusals(folder, use)[0]
    path.unlink()
    index = {"weight_map": {name.replace(".weight", ".qweight"): "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "qweight" in refusals(folder, use, weights=False)[0]


@pytest.mark.parametrize("use", [TRAIN, ModelUse("score")])
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mtp.layers.0.weight": torch.ones(2)}, "mtp.layers.0.weight has no place"),
        ({"model.layers.7.mlp.up_proj.weight": torch.ones(2, 2)}, "model.layers.7.mlp.up_proj.weight has no place"),
        ({"model.norm.weight": None}, "model.norm.weight is missing"),
        ({"model.norm.weight": torch.ones(3)}, "model.norm.weight has another shape"),
        ({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}, None),
    ],
)
def test_weights_that_a_training_would_refuse_are_refused_before_it_by_their_names_and_shapes(folder, use, changed, says):
    path = folder / "model.safetensors"
    tensors = {name: value for name, value in (load_file(path) | changed).items() if value is not None}
    save_file(tensors, path, metadata={"format": "pt"})
    (fault,) = refusals(folder, use)
    assert fault is None if says is None else says in fault


@pytest.mark.parametrize("use", [TRAIN, SERVE, ModelUse("score")])
def test_a_head_of_its_own_is_refused_where_the_embeddings_are_to_be_the_head(folder, use):
    path = folder / "model.safetensors"
    change(folder, "config.json", tie_word_embeddings=True)
    embeddings = load_file(path)["model.embed_tokens.weight"]
    tensors = load_file(path) | {"lm_head.weight": embeddings.clone()}
    save_file(tensors, path, metadata={"format": "pt"})
    assert refusals(folder, use) == [None]
    save_file(tensors | {"lm_head.weight": embeddings + 1}, path, metadata={"format": "pt"})
    assert "set tie_word_embeddings to false" in refusals(folder, use)[0]


def test_a_quantization_that_a_file_beside_config_json_describes_is_one(folder):
    (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    assert all("are quantized (hf_quant_config.json)" in fault for fault in refusals(folder, TRAIN, ModelUse("embed"), SERVE))


def test_a_token_may_end_turns_beside_those_of_the_folder(folder):
    template, to = folder.parent / "chat.jinja", folder.parent / "faults.json"
    template.write_text(world.TEMPLATE.replace("<|end|>", "<|doc|>"))
    spec = CheckSpec(1, [TRAIN], str(to), str(folder), chat_template=str(template))
    assert check(spec) is Exit.DONE
    assert "end token <|end|>" in json.loads(to.read_text())[0]
    assert check(dataclasses.replace(spec, end_token="<|doc|>")) is Exit.DONE
    assert json.loads(to.read_text()) == [None]


def test_a_chat_template_in_a_file_takes_the_place_of_the_tokenizers(folder):
    template, to = folder.parent / "chat.jinja", folder.parent / "faults.json"
    template.write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    spec = CheckSpec(1, [TRAIN, ModelUse("train", "lm", 8)], str(to), str(folder), chat_template=str(template))
    assert check(spec) is Exit.DONE
    chat, plain = json.loads(to.read_text())
    assert "cannot render a generation prompt" in chat or "end token" in chat
    assert plain is None


def test_dropout_where_the_architecture_has_none_is_refused(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path / "gpt2"
    config = GPT2Config(vocab_size=300, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(folder)
    world.make_tokenizer(folder)
    (fault,) = refusals(folder, ModelUse("train", max_tokens=8, dropout=0.1))
    assert fault and "'dropout' must be 0" in fault
