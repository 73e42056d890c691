"""Small random models of the architectures in the table of docs/models.md, and what `check` says of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
import world

from backspin_trainer.check import check
from backspin_trainer.exits import Exit
from backspin_trainer.spec import CheckSpec, Lora, ModelUse

CONTEXT = 64  # tokens
LONG = 4 * CONTEXT
LORA = Lora(4, 8.0, None, 0.0)
USES = {
    "train": ModelUse("train", max_tokens=CONTEXT),
    "long": ModelUse("train", max_tokens=LONG),
    "lora": ModelUse("train", max_tokens=CONTEXT, lora=LORA),
    "tag": ModelUse("train", "tagger", CONTEXT // 2),
    "serve": ModelUse("serve"),
    "score": ModelUse("score"),
    "embed": ModelUse("embed"),
}
_WORDS = [word for text in world.TEXTS for word in text.replace(".", " .").split()]


def refusals(folder: Path, **uses: ModelUse) -> dict[str, str | None]:
    """For each of `uses` the sentence with which `check` refuses it, or None."""
    to, weights = folder.parent / "faults.json", [path.name for path in folder.glob("*.safetensors")]
    assert check(CheckSpec(1, list(uses.values()), str(to), str(folder), weights=weights)) is Exit.DONE
    return dict(zip(uses, json.loads(to.read_text()), strict=True))


def named_targets(folder: Path) -> Lora:
    """An adapter of the layers that the refusal of an unknown one names, but for the one that Mamba has no adapter for."""
    unknown = ModelUse("train", max_tokens=8, lora=replace(LORA, targets=["none"]))
    names = re.search("which has (.*), not none", refusals(folder, lora=unknown)["lora"] or "")[1]
    return replace(LORA, targets=[name for name in names.split(", ") if name != "out_proj"])


@dataclass(frozen=True)
class Architecture:
    """`name` as people know it, and the class of Transformers that has the weights. `shape` are keys of its config."""

    name: str
    model_class: str
    shape: dict[str, Any]
    is_encoder: bool = False

    def make(self, folder: Path) -> Path:
        """Writes a random model with dropout wherever its config has one. Its tokenizer has turns, or for an encoder neither
        turns nor an end token."""
        if self.is_encoder:
            vocabulary = world.make_encoder_tokenizer(folder, _WORDS)
        else:
            world.make_tokenizer(folder)
            vocabulary = 300
        cls = getattr(transformers, self.model_class)
        tokens = {"vocab_size": vocabulary, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
        config = cls.config_class(**{**tokens, "initializer_range": 0.2, **self.shape})
        for key, value in config.to_dict().items():
            if "drop" in key and type(value) in (int, float):
                setattr(config, key, 0.1)
        torch.manual_seed(0)
        cls(config).save_pretrained(folder)
        return folder


_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT}
_GPT_NEO = {
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "attention_types": [[["global", "local"], 1]],
    "max_position_embeddings": CONTEXT,
}
_OPT = {
    "hidden_size": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "word_embed_proj_dim": 32,
    "max_position_embeddings": CONTEXT,
}
_EXPERTS = {"num_key_value_heads": 1, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_DEEPSEEK = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}
_FALCON_H1 = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
_BART = {
    "d_model": 32,
    "max_position_embeddings": CONTEXT,
    **{f"{side}_{size}": 2 for side in ("encoder", "decoder") for size in ("layers", "attention_heads")},
    **{f"{side}_ffn_dim": 48 for side in ("encoder", "decoder")},
}


def _decoder(name: str, kind: str | None = None, **shape: Any) -> Architecture:
    return Architecture(name, f"{kind or name}ForCausalLM", {**_SHAPE, **shape})


def _grouped(name: str, kind: str | None = None, **shape: Any) -> Architecture:
    """A decoder whose heads share keys and values."""
    return _decoder(name, kind, num_key_value_heads=1, **shape)


def _encoder(name: str, kind: str | None = None, **shape: Any) -> Architecture:
    return Architecture(name, f"{kind or name}Model", {**_SHAPE, **shape}, is_encoder=True)


ALL = [
    _grouped("Llama"),
    _grouped("Mistral"),
    _grouped("Qwen2"),
    _grouped("Qwen3", head_dim=16),
    _grouped("Gemma", head_dim=16),
    _grouped("Gemma 2", "Gemma2", head_dim=16),
    _grouped("Gemma 3", "Gemma3", head_dim=16),
    _decoder("Phi"),
    _grouped("Phi-3", "Phi3"),
    Architecture("GPT-2", "GPT2LMHeadModel", _GPT),
    Architecture("GPT-J", "GPTJForCausalLM", {**_GPT, "rotary_dim": 8}),
    Architecture("GPT-BigCode", "GPTBigCodeForCausalLM", _GPT),
    Architecture("GPT-Neo", "GPTNeoForCausalLM", _GPT_NEO),
    _decoder("GPT-NeoX", "GPTNeoX"),
    _decoder("Falcon"),
    Architecture("OPT", "OPTForCausalLM", _OPT),
    Architecture("Bloom", "BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 2}),
    Architecture("MPT", "MptForCausalLM", {"d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": CONTEXT}),
    _grouped("StableLM", "StableLm"),
    _decoder("OLMo", "Olmo"),
    _decoder("OLMo 2", "Olmo2"),
    _decoder("OLMo 3", "Olmo3"),
    _grouped("Granite"),
    _grouped("Cohere"),
    _grouped("Cohere 2", "Cohere2"),
    _grouped("SmolLM3"),
    _grouped("StarCoder2", "Starcoder2"),
    _grouped("Nemotron"),
    _grouped("GLM-4", "Glm4", head_dim=16),
    _grouped("EXAONE 4", "Exaone4"),
    _grouped("ERNIE 4.5", "Ernie4_5"),
    _grouped("Seed-OSS", "SeedOss", head_dim=16),
    _grouped("Apertus"),
    _grouped("LFM2", "Lfm2", layer_types=["conv", "full_attention"]),
    _grouped("Mixtral", num_local_experts=4),
    _decoder("Qwen2-MoE", "Qwen2Moe", **_EXPERTS, shared_expert_intermediate_size=16),
    _decoder("Qwen3-MoE", "Qwen3Moe", **_EXPERTS, head_dim=16),
    _decoder("OLMoE", "Olmoe", num_experts=4, num_experts_per_tok=2),
    _grouped("gpt-oss", "GptOss", head_dim=16, num_local_experts=4, num_experts_per_tok=2),
    _decoder("DeepSeek-V3", "DeepseekV3", **_DEEPSEEK),
    Architecture("Mamba", "MambaForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    _grouped("Falcon-H1", "FalconH1", **_FALCON_H1),
    _encoder("BERT", "Bert"),
    _encoder("RoBERTa", "Roberta"),
    _encoder("XLM-R", "XLMRoberta"),
    Architecture(
        "DistilBERT",
        "DistilBertModel",
        {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2, "max_position_embeddings": CONTEXT},
        is_encoder=True,
    ),
    _encoder("MPNet"),
    _encoder("ModernBERT", "ModernBert"),
    _encoder("ELECTRA", "Electra", embedding_size=32),
    _encoder("DeBERTa-v2", "DebertaV2"),
    _encoder("NomicBERT", "NomicBert"),
    _encoder("EmbeddingGemma", "Gemma3Text", num_key_value_heads=1, head_dim=16, use_bidirectional_attention=True),
    Architecture(
        "T5", "T5ForConditionalGeneration", {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}
    ),
    Architecture("BART", "BartForConditionalGeneration", _BART),
]
