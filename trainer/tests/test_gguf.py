"""A model from a GGUF file is the model that the file was written from: logits, tokens, chat template."""

from __future__ import annotations

import json
from pathlib import Path

import gguf as library
import pytest
import torch
import world
from transformers import AutoModelForCausalLM

from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.gguf import WEIGHTS, gguf
from backspin_trainer.spec import GgufSpec
from backspin_trainer.tokens import read_tokenizer, turn_ends

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(folder: Path, path: Path, kind: library.GGMLQuantizationType, **changed: str | None) -> None:
    """As llama.cpp writes a Llama: queries and keys are permuted, norms stay in float32."""
    config = json.loads((folder / "config.json").read_text())
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), read_tokenizer(str(folder))
    file = library.GGUFWriter(path, changed.get("architecture") or "llama")
    file.add_context_length(config["max_position_embeddings"])
    file.add_embedding_length(config["hidden_size"])
    file.add_block_count(config["num_hidden_layers"])
    file.add_feed_forward_length(config["intermediate_size"])
    file.add_head_count(config["num_attention_heads"])
    file.add_head_count_kv(config["num_key_value_heads"])
    file.add_layer_norm_rms_eps(config["rms_norm_eps"])
    file.add_rope_freq_base(model.config.rope_parameters["rope_theta"])
    file.add_vocab_size(config["vocab_size"])
    if changed.get("scaling"):
        file.add_rope_scaling_type(library.RopeScalingType.YARN)
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {token["id"] for token in rules["added_tokens"]}
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    vocabulary += [(f"<|unused{at}|>", at) for at in range(len(vocabulary), config["vocab_size"])]
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre(changed.get("pre") or "gpt-2")
    file.add_token_list([token for token, _ in vocabulary])
    file.add_token_types([3 if at in special or token.startswith("<|unused") else 1 for token, at in vocabulary])
    file.add_token_merges([" ".join(merge) for merge in rules["model"]["merges"]])
    for add, token in (
        (file.add_bos_token_id, tokenizer.bos_token_id),
        (file.add_eos_token_id, tokenizer.eos_token_id),
        (file.add_pad_token_id, tokenizer.pad_token_id),
    ):
        add(token)
    if changed.get("turn"):
        file.add_eot_token_id(tokenizer.convert_tokens_to_ids(changed["turn"]))
    file.add_chat_template(tokenizer.chat_template)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config["tie_word_embeddings"]:
            continue
        parts = name.removesuffix(".weight").split(".", 3)
        layer = f"blk.{parts[2]}." if "layers" in parts else ""
        place = f"{layer}{NAMES[parts[3] if layer else name.removesuffix('.weight')]}.weight"
        for projection, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
            if projection in name:
                rows = tensor.reshape(config[heads], 2, -1, tensor.shape[1])
                tensor = rows.swapaxes(1, 2).reshape(tensor.shape)
        own = library.GGMLQuantizationType.F32 if tensor.ndim == 1 else kind
        data = library.quantize(tensor.numpy(), own)
        file.add_tensor(place, data, raw_dtype=own)
    if changed.get("factors"):
        file.add_tensor("rope_freqs.weight", torch.ones(8).numpy())
    for write in (file.write_header_to_file, file.write_kv_data_to_file, file.write_tensors_to_file, file.close):
        write()


@pytest.fixture(params=["tied", "untied"])
def folder(request, tmp_path) -> Path:
    return world.make_model(tmp_path / "original", tied=request.param == "tied", kv_heads=2)


@pytest.mark.parametrize("name", ["F32", "F16", "Q8_0"])
def test_a_file_is_converted_to_the_model_and_tokenizer_that_it_was_written_from(folder, tmp_path, name):
    path, to, kind = tmp_path / "model.gguf", tmp_path / "folder", getattr(library.GGMLQuantizationType, name)
    write_gguf(folder, path, kind)
    assert gguf(GgufSpec(1, str(path), str(to))) is Exit.DONE
    ours, theirs = (AutoModelForCausalLM.from_pretrained(one, dtype=torch.float32) for one in (to, folder))
    assert ours.config.tie_word_embeddings == theirs.config.tie_word_embeddings
    mine, given = (read_tokenizer(str(one)) for one in (to, folder))
    messages = [{"role": "user", "content": "The river  of Ardo\n\nis 2024 — é?"}]
    for tokenizer in (mine, given):
        assert tokenizer.eos_token == "<|end|>" and len(tokenizer) <= ours.config.vocab_size
    ids = mine.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids == given.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    with torch.inference_mode():
        for weight in theirs.parameters():
            if weight.ndim == 2:  # what is left of it in the file
                weight.copy_(torch.from_numpy(library.dequantize(library.quantize(weight.numpy(), kind), kind)))
        difference = ours(torch.tensor([ids])).logits - theirs(torch.tensor([ids])).logits
    assert difference.abs().max() < 1e-4


@pytest.mark.parametrize("weights", [True, False])
def test_the_end_of_a_turn_is_listed_beside_the_end_token(tmp_path, weights):
    original, path, to = world.make_model(tmp_path / "original"), tmp_path / "model.gguf", tmp_path / "folder"
    write_gguf(original, path, library.GGMLQuantizationType.F16, turn="<|doc|>")
    gguf(GgufSpec(1, str(path), str(to), weights=weights))
    tokenizer = read_tokenizer(str(to))
    assert turn_ends(tokenizer) == frozenset(tokenizer.convert_tokens_to_ids(["<|end|>", "<|doc|>"]))


def test_the_small_files_alone_are_those_of_the_whole_folder(folder, tmp_path):
    path = tmp_path / "model.gguf"
    write_gguf(folder, path, library.GGMLQuantizationType.F16)
    small, whole = tmp_path / "small", tmp_path / "whole"
    gguf(GgufSpec(1, str(path), str(small), weights=False))
    gguf(GgufSpec(1, str(path), str(whole)))
    assert json.loads((small / WEIGHTS).read_text())["bytes"] == pytest.approx(
        (whole / "model.safetensors").stat().st_size, rel=0.05
    )
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (small / name).read_bytes() == (whole / name).read_bytes()
    shapes = [json.loads((one / "config.json").read_text()) for one in (small, whole)]
    for key in ("hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings", "architectures"):
        assert shapes[0][key] == shapes[1][key]
    assert not any("quantization_config" in shape for shape in shapes)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"architecture": "martian"}, "martian"),
        ({"pre": "martian-bpe"}, "splits texts by the rule 'martian-bpe'"),
        ({"scaling": "yarn"}, "scaled (yarn)"),
        ({"factors": "llama3"}, "weights, and a llama of its shape has"),
    ],
)
def test_what_a_conversion_would_leave_out_is_refused_with_the_way_out(tmp_path, changed, says):
    folder, path = world.make_model(tmp_path / "original"), tmp_path / "model.gguf"
    write_gguf(folder, path, library.GGMLQuantizationType.F16, **changed)
    with pytest.raises(Refusal) as refused:
        gguf(GgufSpec(1, str(path), str(tmp_path / "folder")))
    assert refused.value.code is Exit.MODEL and says in str(refused.value)
    assert "the name of that model on the Hugging Face Hub" in str(refused.value)
    assert not (tmp_path / "folder").exists()


def test_a_broken_file_and_a_part_are_refused(tmp_path):
    for name, says in (("model.gguf", "Fetch it again"), ("model-00001-of-00002.gguf", "gguf-split")):
        path = tmp_path / name
        write_gguf(world.make_model(tmp_path / f"of-{name}"), path, library.GGMLQuantizationType.F16)
        if name == "model.gguf":
            path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(Refusal, match=says):
            gguf(GgufSpec(1, str(path), str(tmp_path / "folder")))
