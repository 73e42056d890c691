from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}

import torch
import world

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return world.make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def rows(tmp_path_factory) -> str:
    return world.write_rows(tmp_path_factory.mktemp("rows") / "chat.jsonl", world.chat_rows())
