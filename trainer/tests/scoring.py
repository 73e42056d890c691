"""Rows to score, and what the verb gives for them."""

from __future__ import annotations

import json
from pathlib import Path

import world

from backspin_trainer.exits import Exit
from backspin_trainer.score import score
from backspin_trainer.spec import ModelFolders, ScoreSpec
from backspin_trainer.stop import Stop

USER = {"role": "user", "content": "Which river is old?"}
SYSTEM = {"role": "system", "content": "Answer in a word."}
CHAT, PREFILLED = {"messages": [USER]}, {"messages": [USER], "prefill": "The river"}
TEXT, TOKENS = {"text": "The town of Belu"}, {"tokens": [7, 41, 12]}
ROWS = [
    [
        {"prompt": CHAT, "continuation": "The river of Ardo is old."},
        {"prompt": CHAT, "continuation": "Belu", "includeEos": True, "secondPrompt": {"messages": [SYSTEM, USER]}},
    ],
    [],
    [{"prompt": PREFILLED, "continuation": " of Cimo is blue.", "secondPrompt": TEXT}],
    [{"prompt": TEXT, "continuation": " is far, and so is the ship"}, {"prompt": TOKENS, "continuation": ""}],
    [
        {"prompt": CHAT, "continuation": "It is blue.", "includeEos": True},
        {"prompt": TOKENS, "continuation": "is", "secondPrompt": CHAT},
    ],
]


def spec(weights: Path, folder: Path, rows: list[list[dict]] = ROWS, **changes) -> ScoreSpec:
    folder.mkdir(exist_ok=True)
    file = world.write_rows(folder / "rows.jsonl", [{"requests": asked} for asked in rows])
    given = {"version": 1, "model": ModelFolders(str(weights)), "rows": file, "run": str(folder), "threads": 1}
    return ScoreSpec(**{**given, **changes})


def answers(of: ScoreSpec) -> list[list[dict]]:
    assert score(of, Stop()) == Exit.DONE
    return [json.loads(line)["answers"] for line in (Path(of.run) / "answers.jsonl").read_text().splitlines()]
