"""Scorings that are killed or stopped, or whose rows or model are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import world
from scoring import CHAT, ROWS, TEXT, answers, spec
from transformers import AutoModelForCausalLM

from backspin_trainer import score as score_module
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.score import score
from backspin_trainer.spec import ScoreSpec, read_spec
from backspin_trainer.stop import Stop


def test_a_run_that_was_killed_between_two_parts_goes_on_and_gives_the_same_bytes(tmp_path, model, monkeypatch):
    rows = [[{"prompt": TEXT, "continuation": f"text {n} of a river", "secondPrompt": CHAT}] for n in range(40)]
    whole, killed = spec(model, tmp_path / "whole", rows), spec(model, tmp_path / "killed", rows)
    command = (
        "import sys; from backspin_trainer import score; score._PART = 4; from backspin_trainer.__main__ import main"
    )
    slow = "; s = score._save; score._save = lambda f, a: (s(f, a), __import__('time').sleep(0.2))"
    file = tmp_path / "killed.json"
    file.write_text(json.dumps(asdict(killed)))
    child = subprocess.Popen([sys.executable, "-c", f"{command}{slow}; sys.exit(main())", "score", "--spec", file])
    parts = lambda: len(list((tmp_path / "killed" / "scores").glob("*.jsonl")))  # noqa: E731
    deadline = time.monotonic() + 60
    while parts() < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = parts()
    assert 3 <= done < 10
    (tmp_path / "killed" / "scores" / "00009.partial").write_bytes(b"torn")
    monkeypatch.setattr(score_module, "_PART", 4)
    assert score(read_spec(str(file), ScoreSpec), Stop()) == Exit.DONE
    assert score(whole, Stop()) == Exit.DONE
    assert (tmp_path / "killed" / "answers.jsonl").read_bytes() == (tmp_path / "whole" / "answers.jsonl").read_bytes()
    starts = [event for event in world.events(tmp_path / "killed") if event["event"] == "start"]
    assert [event["resumedFrom"] for event in starts] == [None, 4 * done]


def test_a_run_stops_at_the_next_part_when_it_is_told_to(tmp_path, model):
    one = spec(model, tmp_path / "run")
    (tmp_path / "run" / "stop").touch()
    assert score(one, Stop()) == Exit.INTERRUPTED
    assert not (tmp_path / "run" / "answers.jsonl").exists()
    assert [len(row) for row in answers(one)] == [len(row) for row in ROWS]


def test_no_rows_have_no_answers(tmp_path, model):
    assert answers(spec(model, tmp_path / "run", [])) == []


def test_a_model_that_has_diverged_is_refused(tmp_path, model):
    causal = AutoModelForCausalLM.from_pretrained(model)
    causal.model.norm.weight.data.fill_(float("nan"))
    folder = tmp_path / "diverged"
    causal.save_pretrained(folder)
    world.make_tokenizer(folder)
    with pytest.raises(Refusal, match="has diverged") as refusal:
        score(spec(folder, tmp_path / "run"), Stop())
    assert refusal.value.code == Exit.MODEL
    assert world.events(tmp_path / "run")[-1]["event"] == "error"


@pytest.mark.parametrize(
    "row",
    [
        "{}",
        "[]",
        "no json",
        '{"requests": {}}',
        '{"requests": [{"prompt": {"text": "a"}}]}',
        '{"requests": [{"prompt": {"text": "a", "tokens": [1]}, "continuation": "a"}]}',
        '{"requests": [{"prompt": {"tokens": [-1]}, "continuation": "a"}]}',
        '{"requests": [{"prompt": {"messages": []}, "continuation": "a"}]}',
        '{"requests": [{"prompt": {"text": "a"}, "continuation": "a", "includeEos": 1}]}',
        '{"requests": [{"prompt": {"text": "a"}, "continuation": "a", "more": 1}]}',
    ],
)
def test_a_row_that_asks_nothing_that_can_be_answered_is_named(tmp_path, model, row):
    one = spec(model, tmp_path / "run")
    Path(one.rows).write_text('{"requests": []}\n' + row + "\n")
    with pytest.raises(Refusal, match=r"rows\.jsonl:2 ") as refusal:
        score(one, Stop())
    assert refusal.value.code == Exit.DATA
