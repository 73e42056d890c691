"""The table of architectures in docs/models.md is what `check` says of small random models; test_architectures.py does it.

`BACKSPIN_WRITE_DOCS=1` writes the table. Its last column is compared where vLLM is installed (`node setup.js --vllm`).
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from pathlib import Path

from architectures import ALL, USES, named_targets, refusals

from backspin_trainer.spec import ModelUse

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/models.md"
BEGIN, END = "<!-- Written by trainer/tests/test_models_table.py. -->\n", "<!-- End of what is written. -->"
HEAD = ["architecture", "trains", "LoRA", "tagger", "exports", "scores", "embeds", "embedded server", "vLLM"]


def test_the_table_of_architectures_is_what_check_says_of_them(tmp_path):
    vllm = listed_by_vllm()
    rows, notes = make_rows(tmp_path, vllm)
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    kept, after = rest.split(END)
    if os.environ.get("BACKSPIN_WRITE_DOCS"):
        assert vllm is not None, "run `node setup.js --vllm` first: the table has a column of vLLM"
        kept = f"\n{markdown(rows)}\n{notes}\n"
        PAGE.write_text(before + BEGIN + kept + END + after)
    lines = [line.strip("| ").split(" | ") for line in kept.splitlines() if line.startswith("|")]
    columns = None if vllm else -1
    assert [line[:columns] for line in lines[2:]] == [row[:columns] for row in rows]
    assert kept.endswith(f"\n{notes}\n")


def make_rows(scratch: Path, vllm: set[str] | None) -> tuple[list[list[str]], str]:
    """The cells, and the sentences that they name by number."""
    sentences: dict[str, int] = {}

    def number(sentence: str, folder: Path) -> str:
        kind = json.loads((folder / "config.json").read_text())["model_type"]
        general = sentence.replace(str(folder), "FOLDER").replace(kind, "TYPE")
        general = re.sub(r"\d+%", "N%", re.sub(r"such as [\w, ]+\.$", "such as NAMES.", general))
        return str(sentences.setdefault(general, len(sentences) + 1))

    def cell(sentence: str | None, folder: Path) -> str:
        return "yes" if sentence is None else f"no ({number(sentence, folder)})"

    rows = []
    for architecture in ALL:
        folder = architecture.make(scratch / architecture.name / "model")
        said = refusals(folder, **{use: USES[use] for use in USES if use != "long"})
        lora = cell(said["lora"], folder)
        if said["lora"] and not said["train"]:
            chosen = ModelUse("train", max_tokens=8, lora=named_targets(folder))
            assert refusals(folder, lora=chosen)["lora"] is None
            lora = f"with `targets` ({number(said['lora'], folder)})"
        cells = {use: cell(said[use], folder) for use in ("train", "tag", "score", "embed", "serve")}
        exports = "yes" if None in (said["train"], said["tag"]) else "no"
        listed = "yes" if vllm and architecture.model_class in vllm else "no"
        names = ("score", "embed", "serve")
        rows.append([architecture.name, cells["train"], lora, cells["tag"], exports, *(cells[use] for use in names), listed])
    return rows, "\n".join(f"{at}. {sentence}" for sentence, at in sentences.items())


def markdown(rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in [HEAD, *rows]).replace(
        " |\n", f" |\n{'|---' * len(HEAD)}|\n", 1
    )


def listed_by_vllm() -> set[str] | None:
    """The classes that the installed vLLM lists for text generation: by its own code, or by that of Transformers. None: there
    is no vLLM."""
    recorded = ROOT / "node_modules/.backspin-vllm.json"
    python = os.environ.get("BACKSPIN_VLLM_PYTHON") or (
        json.loads(recorded.read_text())["python"] if recorded.is_file() else None
    )
    if not python:
        return None
    find = "import importlib.util as i; print(i.find_spec('vllm').submodule_search_locations[0])"
    folder = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
    registry = ast.parse((Path(folder) / "model_executor/models/registry.py").read_text())
    lists = {
        ast.unparse(node.targets[0]): {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
        for node in registry.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
    }
    return lists["_TEXT_GENERATION_MODELS"] | lists["_TRANSFORMERS_SUPPORTED_MODELS"]
