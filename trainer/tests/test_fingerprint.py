from __future__ import annotations

import json
from pathlib import Path

import pytest
import world
from scoring import CHAT, USER, answers, spec
from transformers import AutoTokenizer

from backspin_trainer.adapters import merge
from backspin_trainer.data import read_examples
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.spec import MergeSpec, TrainSpec, read_spec
from backspin_trainer.stop import Stop
from backspin_trainer.tokens import fingerprint
from backspin_trainer.train import train


def preference(prompt: list[dict], chosen: object, rejected: object) -> dict:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def training(folder: Path, rows: list[dict], run: Path, objective: str) -> TrainSpec:
    run.mkdir()
    data = world.write_rows(run / "rows.jsonl", rows)
    given = world.train_spec(folder, data, run, objective=objective, beta=0.1, steps=1, batch=1)
    (run / "train.json").write_text(json.dumps(given))
    return read_spec(str(run / "train.json"), TrainSpec)


def test_a_continuation_that_ends_has_the_ids_that_dpo_trains_on(tmp_path, model, tokenizer):
    texts = ["The river of Ardo.", "\n\n old", " blue\n"]
    asked = [{"prompt": CHAT, "continuation": text, "includeEos": True} for text in texts]
    [row] = answers(spec(model, tmp_path / "run", [asked]))
    dpo = [preference([USER], text, text) for text in texts]
    examples = read_examples(training(model, dpo, tmp_path / "dpo", "dpo"), tokenizer).dataset
    assert [answer["ids"] for answer in row] == examples["chosen"]
    assert all(answer["ids"][-1] == tokenizer.eos_token_id for answer in row)


def weighed(answer: dict, text: str) -> dict:
    return {"ids": answer["ids"], "weights": [1.0] * len(answer["ids"]), "text": text, "hash": answer["hash"]}


def changed(folder: Path, to: Path, change) -> AutoTokenizer:
    """The tokenizer of `folder`, after `change` of its tokenizer.json."""
    AutoTokenizer.from_pretrained(folder).save_pretrained(to)
    rules = json.loads((to / "tokenizer.json").read_text())
    change(rules)
    (to / "tokenizer.json").write_text(json.dumps(rules))
    return AutoTokenizer.from_pretrained(to)


def test_a_fingerprint_is_of_tokenizer_template_text_and_ids(tmp_path, model, tokenizer):
    one = fingerprint(tokenizer, "a", [1, 2])
    assert len(one) == 64 and one == fingerprint(tokenizer, "a", [1, 2])
    assert one != fingerprint(tokenizer, "b", [1, 2])
    assert one != fingerprint(tokenizer, "a", [1, 3])
    shorter = changed(model, tmp_path / "merges", lambda rules: rules["model"]["merges"].pop())
    assert one != fingerprint(shorter, "a", [1, 2])
    other = changed(model, tmp_path / "template", lambda rules: None)
    assert one == fingerprint(other, "a", [1, 2])
    other(["a", "a b c"], padding=True, truncation=True, max_length=4)
    other.chat_template += " "
    assert one != fingerprint(other, "a", [1, 2])
    other.chat_template = tokenizer.chat_template
    assert one == fingerprint(other, "a", [1, 2])


def test_models_that_come_of_one_another_have_its_fingerprint(tmp_path, model, tokenizer):
    rows = [preference([USER], "blue", "old")]
    assert train(training(model, rows, tmp_path / "trained", "dpo"), Stop()) == Exit.DONE
    adapter = world.make_adapter(model, tmp_path / "adapter", seed=1, targets=("q_proj",))
    merge(MergeSpec(1, str(adapter), str(model), str(tmp_path / "merged")))
    for folder in (tmp_path / "trained" / "model", tmp_path / "merged"):
        again = AutoTokenizer.from_pretrained(folder)
        assert fingerprint(again, "a", [1, 2]) == fingerprint(tokenizer, "a", [1, 2])


def test_token_dpo_takes_what_was_weighed_with_its_tokenizer_and_refuses_another(tmp_path, model, tokenizer):
    asked = [{"prompt": CHAT, "continuation": text, "includeEos": True} for text in ("blue", "old")]
    [row] = answers(spec(model, tmp_path / "run", [asked]))
    chosen, rejected = weighed(row[0], "blue"), weighed(row[1], "old")
    given = training(model, [preference([USER], chosen, rejected)], tmp_path / "fits", "token-dpo")
    assert read_examples(given, tokenizer).dataset["chosen"] == [row[0]["ids"]]
    other = changed(model, tmp_path / "other", lambda rules: None)
    other.chat_template = tokenizer.chat_template.replace("m.content", "m.content | trim")
    for which, (side, against) in enumerate(
        ((rejected, other), (rejected | {"text": "new"}, tokenizer), (rejected | {"ids": row[0]["ids"]}, tokenizer))
    ):
        side = side | {"weights": [1.0] * len(side["ids"])}
        rows = [preference([USER], chosen, rejected), preference([USER], chosen, side)]
        read = read_examples(training(model, rows, tmp_path / str(which), "token-dpo"), against)
        assert read.refused[-1]["reason"] == "invalid" and read.refused[-1]["line"] == 2
        assert "weighed with another tokenizer" in read.refused[-1]["evidence"]


@pytest.mark.parametrize("change", [{"text": None}, {"hash": None}, {"hash": 1}])
def test_text_and_hash_of_weights_go_together(tmp_path, model, tokenizer, change):
    side = {"ids": [5], "weights": [1], "text": "a", "hash": "b"} | change
    side = {key: value for key, value in side.items() if value is not None}
    given = training(model, [preference([USER], side, side)], tmp_path / "run", "token-dpo")
    assert "both or neither" in read_examples(given, tokenizer).refused[0]["evidence"]
