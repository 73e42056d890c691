from __future__ import annotations

import dataclasses
import json

import pytest
import world
from datasets import Dataset

from backspin_trainer import data
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.spec import TrainSpec, read_spec
from backspin_trainer.tokens import read_tokenizer


@pytest.fixture
def spec(tmp_path, model, rows) -> TrainSpec:
    (tmp_path / "spec.json").write_text(json.dumps(world.train_spec(model, rows, tmp_path / "run")))
    return read_spec(str(tmp_path / "spec.json"), TrainSpec)


def test_loss_is_on_the_last_answer_and_its_end_token_only(spec, tmp_path):
    tokenizer = read_tokenizer(spec.from_)
    turns = [("user", "One?"), ("assistant", "First."), ("user", "Two?"), ("assistant", "Second.")]
    path = world.write_rows(
        tmp_path / "rows.jsonl", [{"messages": [{"role": role, "content": content} for role, content in turns]}]
    )
    (example,) = data.read_examples(dataclasses.replace(spec, data=path), tokenizer)
    learnt = [token for token in example["labels"] if token != -100]
    assert tokenizer.decode(learnt) == "Second.<|end|>"
    assert (
        tokenizer.decode(example["input_ids"])
        == "<|user|>One?<|end|><|assistant|>First.<|end|><|user|>Two?<|end|><|assistant|>Second.<|end|>"
    )
    assert example["labels"][-len(learnt) :] == example["input_ids"][-len(learnt) :] == learnt


def test_pre_training_keeps_every_token_of_every_document_in_one_stream(spec, tmp_path):
    tokenizer = read_tokenizer(spec.from_)
    path = world.write_rows(tmp_path / "rows.jsonl", [{"text": text} for text in world.TEXTS])
    examples = data.read_examples(dataclasses.replace(spec, objective="lm", data=path, max_tokens=16), tokenizer)
    stream = [token for ids in examples["input_ids"] for token in ids]
    assert tokenizer.decode(stream) == "".join(f"<|doc|>{text}<|end|>" for text in world.TEXTS)
    assert all(len(ids) == 16 for ids in examples["input_ids"][:-1])
    assert all(labels[1:] == ids[1:] for ids, labels in zip(examples["input_ids"], examples["labels"]))


GOOD = world.chat_rows(1)[0]
SAYS = {"role": "assistant", "content": "Yes."}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            json.dumps({"messages": [*GOOD["messages"][:-1], {"role": "assistant", "content": "long " * 60}]}),
            "more than maxTokens 64",
        ),
        (json.dumps({**GOOD, "weight": -0.5}), "has weight -0.5"),
        (json.dumps({**GOOD, "weight": "1"}), 'has weight "1"'),
        (json.dumps({**GOOD, "group": 7}), "has group 7"),
        (json.dumps({"messages": GOOD["messages"][:-1]}), 'needs "messages"'),
        (json.dumps({"messages": [SAYS]}), 'needs "messages"'),
        (json.dumps({"messages": "hello"}), 'needs "messages"'),
        (json.dumps({"text": "hello"}), 'needs "messages"'),
        ("[1]", "is not a JSON object"),
        ('{"messages": [', "is not JSON"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_never_cut_or_skipped(spec, tmp_path, line, says):
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{line}\n")
    with pytest.raises(Refusal) as error:
        data.read_examples(dataclasses.replace(spec, data=str(path)), read_tokenizer(spec.from_))
    assert error.value.code == Exit.DATA
    assert f"{path}:2 " in str(error.value) and says in str(error.value)


def test_a_missing_or_empty_data_file_is_refused(spec, tmp_path):
    for path in (tmp_path / "none.jsonl", tmp_path / "empty.jsonl"):
        (tmp_path / "empty.jsonl").touch()
        with pytest.raises(Refusal) as error:
            data.read_examples(dataclasses.replace(spec, data=str(path)), read_tokenizer(spec.from_))
        assert error.value.code == Exit.DATA and str(path) in str(error.value)


def test_a_line_separator_inside_a_text_does_not_end_its_row(spec, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a\u2028b"}, ensure_ascii=False) + "\n", encoding="utf-8")
    examples = data.read_examples(dataclasses.replace(spec, objective="lm", data=str(path)), read_tokenizer(spec.from_))
    assert "a\u2028b" in read_tokenizer(spec.from_).decode(examples[0]["input_ids"])


def test_every_epoch_takes_every_row_once_in_an_order_of_the_seed(spec):
    spec = dataclasses.replace(spec, steps=6, batch=4)
    rows = Dataset.from_list([{"input_ids": [0] * (1 + at % 5), "group": str(at)} for at in range(12)])
    taken = data.order(rows, spec)
    assert len(taken) == 24 and sorted(taken) == sorted([*range(12)] * 2)
    assert taken == data.order(rows, spec)
    assert taken != data.order(rows, dataclasses.replace(spec, seed=2))


def test_rows_of_one_group_share_every_batch_and_groups_that_cannot_are_refused(spec):
    spec = dataclasses.replace(spec, steps=6, batch=4)
    rows = [{"input_ids": [0] * (1 + at % 5), "group": str(at // 2)} for at in range(12)]
    taken = data.order(Dataset.from_list(rows), spec)
    assert sorted(taken) == sorted([*range(12)] * 2)
    assert all(one + 1 == other and one % 2 == 0 for one, other in zip(taken[::2], taken[1::2]))
    for wrong, batch in ((rows[:11], 4), (rows, 3)):
        with pytest.raises(Refusal, match="groups of one size, and a batch that is a multiple of it"):
            data.order(Dataset.from_list(wrong), dataclasses.replace(spec, batch=batch))
