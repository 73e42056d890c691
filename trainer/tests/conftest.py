from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}

import client
import torch
import world
from transformers import AutoTokenizer

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return world.make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def rows(tmp_path_factory) -> str:
    return world.write_rows(tmp_path_factory.mktemp("rows") / "chat.jsonl", world.chat_rows())


@pytest.fixture(scope="session")
def untied(tmp_path_factory) -> Path:
    return world.make_model(
        tmp_path_factory.mktemp("model") / "untied",
        seed=1,
        tied=False,
        kv_heads=4,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        rms_norm_eps=1e-3,
    )


@pytest.fixture(scope="session")
def wide(tmp_path_factory) -> Path:
    """Its matrices are packed, and attention reads its cache in three blocks."""
    shape = {"hidden_size": 512, "intermediate_size": 640, "num_attention_heads": 8, "head_dim": 64}
    return world.make_model(tmp_path_factory.mktemp("model") / "wide", context=600, std=0.05, **shape)


@pytest.fixture(scope="session")
def server(tmp_path_factory, model, untied):
    process, talk = client.start(tmp_path_factory.mktemp("serve"), {"tied": model, "untied": untied}, threads=2)
    yield talk
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def tokenizer(model):
    return AutoTokenizer.from_pretrained(model)
