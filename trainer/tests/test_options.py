"""Options of how a training computes: packing, 4-bit bases, 8-bit optimizers, kernels of other packages, deterministic algorithms."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from test_memory import LORA, OBJECTIVES, spec, weights_of
from training import parsed, refused, steps
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM, OPTConfig, OPTForCausalLM

from backspin_trainer import heads, options
from backspin_trainer.check import check
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.spec import CheckSpec, ModelUse

OF_PACKAGES = [
    {"quantization": "nf4", "lora": LORA},
    {"optimizer": "adamw-8bit"},
    {"attention": "flash-attention-2"},
    {"attention": "flash-attention-3"},
    {"liger": True},
]
named = lambda settings: f"{next(iter(settings))}-{next(iter(settings.values()))}"  # noqa: E731


@pytest.mark.parametrize("lora", [None, LORA], ids=["all weights", "adapter"])
@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_packed_rows_give_the_weights_of_padded_ones_and_nothing_is_padding(tmp_path, model, objective, lora):
    specs = [spec(model, tmp_path / str(packing), objective, packing=packing, lora=lora) for packing in (False, True)]
    padded, packed = map(weights_of, specs)
    assert all(torch.allclose(padded[name], packed[name], atol=1e-6, rtol=0) for name in padded)
    shares = [[event["padding"] for event in steps(Path(given["run"]))] for given in specs]
    assert min(shares[0]) > 0 and set(shares[1]) == {0}


SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
OPT = OPTConfig(**SIZES, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=32)
MAMBA = MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, state_size=4)


def test_packed_rows_do_not_see_each_other():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2, intermediate_size=64)).eval()
    rows = torch.randint(3, 50, (3, 9))
    mask = torch.tensor([[1] * length + [0] * (9 - length) for length in (4, 9, 1)])
    options.check_packing(model)
    nll = []
    for packing in (False, True):
        other = copy.deepcopy(model)
        heads.return_token_losses(other, packing)
        with torch.no_grad():
            nll.append(other(input_ids=rows, attention_mask=mask, labels=torch.where(mask.bool(), rows, -100))["nll"])
    torch.testing.assert_close(*nll, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", [OPTForCausalLM(OPT), MambaForCausalLM(MAMBA)], ids=["OPT", "Mamba"])
def test_an_architecture_that_would_mix_packed_rows_is_refused(model):
    with pytest.raises(Refusal, match="'packing' must be false: .*ForCausalLM cannot keep the rows"):
        options.check_packing(model)


@pytest.mark.parametrize("settings", OF_PACKAGES, ids=named)
def test_an_option_whose_package_is_missing_is_refused_with_how_to_install_it(tmp_path, model, monkeypatch, settings):
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    error = refused(spec(model, tmp_path / "run", **settings))
    assert error.code == Exit.DEPENDENCY and " -m pip install " in str(error) and f"'{next(iter(settings))}' is " in str(error)


@pytest.mark.parametrize("settings", OF_PACKAGES, ids=named)
def test_an_option_for_cuda_devices_is_refused_without_one(tmp_path, model, monkeypatch, settings):
    monkeypatch.setattr(options, "find_spec", lambda name: name)
    error = refused(spec(model, tmp_path / "run", **settings))
    assert error.code == Exit.SPEC and f"'{next(iter(settings))}' needs a CUDA device" in str(error)


def test_a_plan_asks_for_packages_before_anything_runs(tmp_path, model, monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    to = tmp_path / "faults.json"
    check(CheckSpec(1, [ModelUse("train", quantization="nf4"), ModelUse("train", packing=True)], str(to), str(model)))
    assert "no bitsandbytes" in to.read_text() and to.read_text().endswith(", null]")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"quantization": "nf4"}, "quantization"),
        ({"quantization": "nf4", "lora": LORA, "shard": "fsdp2"}, "shard"),
        ({"optimizer": "adamw-8bit", "shard": "fsdp2"}, "shard"),
    ],
    ids=str,
)
def test_options_that_exclude_each_other_are_refused(tmp_path, model, changes, key):
    with pytest.raises(Refusal, match=f"'{key}'"):
        parsed(spec(model, tmp_path / "run", **changes))


def test_a_tagger_is_not_packed(tmp_path, model):
    with pytest.raises(Refusal, match="'packing' must be false for a tagger"):
        parsed(spec(model, tmp_path / "run", packing=True) | {"objective": "tagger"})


def test_a_deterministic_training_asks_pytorch_for_deterministic_algorithms(tmp_path, model):
    try:
        weights_of(spec(model, tmp_path / "run", deterministic=True))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
