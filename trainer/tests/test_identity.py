from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import backspin_trainer
from backspin_trainer.exits import Exit
from backspin_trainer.identity import code_of, identity


@pytest.fixture
def package(tmp_path) -> Path:
    return Path(shutil.copytree(Path(backspin_trainer.__file__).parent, tmp_path / "package"))


def edited(package: Path, name: str, text: str, to: str) -> str:
    path = package / name
    assert text in path.read_text()
    path.write_text(path.read_text().replace(text, to, 1))
    return code_of(package, "train")


def test_the_code_of_a_verb_is_that_of_all_it_imports_without_comments_and_docstrings(package):
    before = code_of(package, "train")
    assert before == code_of(Path(backspin_trainer.__file__).parent, "train")
    assert edited(package, "data.py", '"""', '# Others.\n"""More. ') == before
    assert edited(package, "serve.py", "import", "import antigravity, ") == before  # training imports it not
    assert edited(package, "schedule.py", "return", "return 2 *") != before


def test_identity_names_the_packages_that_a_verb_computes_with(capsys):
    assert identity() == Exit.DONE
    report = json.loads(capsys.readouterr().out)
    assert {"code", "python", "torch", "transformers", "trl", "peft"} <= report["train"].keys()
    assert report["serve"].keys() == {"code", "python", "torch", "transformers", "tokenizers", "jinja2"}
    assert "peft" not in report["tag"] and "trl" not in report["tag"]
    assert len({verb["code"] for verb in report.values()}) == 7
    assert report["train"]["torch"]


def test_identity_names_a_package_for_options_once_it_is_installed_so_that_a_plan_asks_again(capsys, monkeypatch):
    installed = {"bitsandbytes": "0.50.2"}
    monkeypatch.setattr("backspin_trainer.identity._version", installed.get)
    assert identity() == Exit.DONE
    report = json.loads(capsys.readouterr().out)
    assert report["train"]["bitsandbytes"] == report["check"]["bitsandbytes"] == "0.50.2"
    assert "liger-kernel" not in report["train"] and "bitsandbytes" not in report["score"]
