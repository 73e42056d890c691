from __future__ import annotations

import dataclasses
import json
from collections import Counter

import pytest
import world
from datasets import Dataset

from backspin_trainer import data
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.spec import TrainSpec, read_spec
from backspin_trainer.tokens import read_tokenizer, template_tokens, turn_tokens


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
    (example,) = data.read_examples(dataclasses.replace(spec, data=path), tokenizer).dataset
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
    examples = data.read_examples(dataclasses.replace(spec, objective="lm", data=path, max_tokens=16), tokenizer).dataset
    stream = [token for ids in examples["input_ids"] for token in ids]
    assert tokenizer.decode(stream) == "".join(f"<|doc|>{text}<|end|>" for text in world.TEXTS)
    assert all(len(ids) == 16 for ids in examples["input_ids"][:-1])
    assert all(labels[1:] == ids[1:] for ids, labels in zip(examples["input_ids"], examples["labels"]))


def test_pre_training_reads_a_conversation_as_the_chat_template_renders_it(spec, tmp_path):
    tokenizer = read_tokenizer(spec.from_)
    turns = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "First."}]
    path = world.write_rows(tmp_path / "rows.jsonl", [{"messages": turns}, {"text": "Two."}, {"messages": turns[:1]}])
    read = data.read_examples(dataclasses.replace(spec, objective="lm", data=path), tokenizer)
    [row] = read.dataset
    said = tokenizer.decode(template_tokens(tokenizer, turns, add_generation_prompt=False))
    assert tokenizer.decode(row["input_ids"]) == f"{said}<|doc|>Two.<|end|>" and said.endswith("First.<|end|>")
    assert row["labels"][1:] == row["input_ids"][1:]
    assert [(one["line"], one["reason"]) for one in read.refused] == [(3, "invalid")]


GOOD = world.chat_rows(1)[0]
SAYS = {"role": "assistant", "content": "Yes."}


def said(answer: str) -> dict:
    return {"messages": [*GOOD["messages"][:-1], {"role": "assistant", "content": answer}]}


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        (said("long " * 60), "too-long", "of them before the answer; maxTokens is 64"),
        (said(""), "empty", 'the text is ""'),
        (said(" \n\u3000 "), "empty", "there is nothing to learn"),
        ({**GOOD, "weight": -0.5}, "invalid", "has weight -0.5"),
        ({**GOOD, "weight": "1"}, "invalid", 'has weight "1"'),
        ({**GOOD, "group": 7}, "invalid", "has group 7"),
        ({"messages": GOOD["messages"][:-1]}, "invalid", 'needs "messages"'),
        ({"messages": [SAYS]}, "invalid", 'needs "messages"'),
        ({"messages": "hello"}, "invalid", 'needs "messages"'),
        ({"text": "hello"}, "invalid", 'needs "messages"'),
        ({"messages": [{"role": "critic", "content": "?"}, SAYS]}, "invalid", "chat template (no critic)"),
    ],
)
def test_a_row_that_cannot_be_trained_on_is_refused_with_its_reason_and_no_other_with_it(
    spec, tmp_path, row, reason, says
):
    path = world.write_rows(tmp_path / "rows.jsonl", [GOOD, row, GOOD])
    tokenizer = read_tokenizer(spec.from_)
    tokenizer.chat_template = (
        "{% for m in messages if m.role == 'critic' %}{{ raise_exception('no critic') }}{% endfor %}" + world.TEMPLATE
    )
    read = data.read_examples(dataclasses.replace(spec, data=path), tokenizer)
    [refused] = read.refused
    assert (read.kept, len(read.dataset), refused["line"], refused["reason"]) == (2, 2, 2, reason)
    assert says in refused["evidence"]


def test_a_document_without_a_text_or_with_an_empty_one_is_refused_and_the_others_are_one_stream(spec, tmp_path):
    texts = [{"text": "One."}, {"text": " \n"}, {"body": "Two."}, {"text": "Three."}]
    path = world.write_rows(tmp_path / "rows.jsonl", texts)
    tokenizer = read_tokenizer(spec.from_)
    read = data.read_examples(dataclasses.replace(spec, objective="lm", data=path), tokenizer)
    assert [(one["line"], one["reason"]) for one in read.refused] == [(2, "empty"), (3, "invalid")]
    assert read.kept == 2 and tokenizer.decode(read.dataset[0]["input_ids"]) == "<|doc|>One.<|end|><|doc|>Three.<|end|>"


def test_a_row_that_is_too_long_is_cut_to_its_first_tokens_where_that_is_asked_for(spec, tmp_path):
    path = world.write_rows(tmp_path / "rows.jsonl", [said("long " * 60), GOOD, said("x")])
    tokenizer = read_tokenizer(spec.from_)
    cut = dataclasses.replace(spec, data=path, too_long="truncate")
    read = data.read_examples(cut, tokenizer)
    assert (read.kept, read.truncated, read.refused) == (3, 1, [])
    ids, labels = read.dataset[0]["input_ids"], read.dataset[0]["labels"]
    assert len(ids) == len(labels) == 64
    assert tokenizer.decode([token for token in labels if token != -100]).startswith("long long ")
    assert labels[-1] == ids[-1] != tokenizer.eos_token_id
    none = data.read_examples(dataclasses.replace(cut, max_tokens=4), tokenizer)
    assert [one["reason"] for one in none.refused] == ["too-long"] * 3 and not none.kept


@pytest.mark.parametrize(
    ("answer", "learnt"),
    [
        ("Hello.", "Hello.<|end|>"),
        ("\n\nHello again.", "Hello again.<|end|>"),
        (" \r\n\n  Hello\n\n", "  Hello\n\n<|end|>"),
        ("    x = 1", "    x = 1<|end|>"),
        ("\n    return x", "    return x<|end|>"),
    ],
)
def test_what_is_learnt_begins_where_its_prompt_ends_whatever_the_tokenizer_would_merge(tmp_path, answer, learnt):
    """03-leading-newlines.jsonl: the template of SmolLM2 ends its header with a line end, as this one does."""
    template = (
        "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
    )
    world.make_tokenizer(tmp_path, [*world.TEXTS, *["a\n\n\nb\n    x"] * 9], template=template)
    tokenizer = read_tokenizer(str(tmp_path))
    [end] = tokenizer.encode("\n")
    assert all(tokenizer.encode(f"\n{text}")[0] != end for text in ("\n\nHello", "    x"))
    before = [{"role": "user", "content": "Say hello."}]
    prompt, ids = turn_tokens(tokenizer, before, answer)
    assert prompt == template_tokens(tokenizer, before)  # what a server is asked with
    assert tokenizer.decode(ids) == learnt


@pytest.mark.parametrize(
    ("groups", "left", "evidence"),
    [
        (["a", "a", "b", "b!", "c", "c"], "a c", "another row of its group b was dropped"),
        (["a", "a", "b", "c", "c", "d", "d", "d"], "a c", "its group b has the size 1, and most have 2"),
        ([None, "a", "a", None, None], "None", "its group a has the size 2, and most have 1"),
    ],
)
def test_a_group_that_is_not_whole_is_refused_and_the_others_share_batches(spec, tmp_path, groups, left, evidence):
    rows = [(said("long " * 60) if group and "!" in group else GOOD) for group in groups]
    named = [row | ({"group": group.strip("!")} if group else {}) for row, group in zip(rows, groups)]
    path = world.write_rows(tmp_path / "rows.jsonl", named)
    read = data.read_examples(dataclasses.replace(spec, data=path), read_tokenizer(spec.from_))
    assert evidence in [one["evidence"] for one in read.refused if one["reason"] == "group"]
    assert read.kept + len(read.refused) == len(rows)
    kept = {str(groups[line - 1]) for line in range(1, len(rows) + 1)} - {
        str(groups[one["line"] - 1]).strip("!") for one in read.refused
    }
    assert kept - {"b!"} == set(left.split())
    data.sample_order(read.dataset, dataclasses.replace(spec, batch=4))


def test_a_row_that_is_no_json_is_named_by_its_line(spec, tmp_path):
    for line, says in (("[1]", "is not a JSON object"), ('{"messages": [', "is not JSON")):
        path = tmp_path / "rows.jsonl"
        path.write_text(f"{json.dumps(GOOD)}\n{line}\n")
        with pytest.raises(Refusal) as error:
            data.read_examples(dataclasses.replace(spec, data=str(path)), read_tokenizer(spec.from_))
        assert error.value.code == Exit.DATA
        assert f"{path}:2 " in str(error.value) and says in str(error.value)


def test_a_missing_data_file_is_refused(spec, tmp_path):
    path = tmp_path / "none.jsonl"
    with pytest.raises(Refusal) as error:
        data.read_examples(dataclasses.replace(spec, data=str(path)), read_tokenizer(spec.from_))
    assert error.value.code == Exit.DATA and str(path) in str(error.value)


def test_a_line_separator_inside_a_text_does_not_end_its_row(spec, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a\u2028b"}, ensure_ascii=False) + "\n", encoding="utf-8")
    documents = dataclasses.replace(spec, objective="lm", data=str(path))
    examples = data.read_examples(documents, read_tokenizer(spec.from_)).dataset
    assert "a\u2028b" in read_tokenizer(spec.from_).decode(examples[0]["input_ids"])


def test_every_epoch_takes_every_row_once_in_an_order_of_the_seed(spec):
    spec = dataclasses.replace(spec, steps=6, batch=4)
    rows = Dataset.from_list([{"input_ids": [0] * (1 + at % 5), "group": str(at)} for at in range(12)])
    taken = data.sample_order(rows, spec)
    assert len(taken) == 24 and sorted(taken) == sorted([*range(12)] * 2)
    assert taken == data.sample_order(rows, spec)
    assert taken != data.sample_order(rows, dataclasses.replace(spec, seed=2))


@pytest.mark.parametrize(("count", "batch", "epochs"), [(64, 32, 3), (100, 32, 3), (33, 32, 3), (96, 16, 4), (1000, 32, 3)])
def test_no_batch_has_a_row_twice_and_an_epoch_ends_before_the_next_begins(spec, count, batch, epochs):
    spec = dataclasses.replace(spec, steps=epochs * count // batch, batch=batch)
    rows = Dataset.from_list([{"input_ids": [0] * (1 + at * 7 % 50), "group": str(at)} for at in range(count)])
    taken = data.sample_order(rows, spec)
    assert len(taken) == spec.steps * batch
    assert all(len(set(taken[start : start + batch])) == batch for start in range(0, len(taken), batch))
    for passed in range(1, epochs):
        seen = Counter(taken[: passed * count])
        assert passed * count - sum(min(times, passed) for times in seen.values()) < batch


def test_fewer_rows_than_a_batch_are_all_in_every_batch_as_often_as_it_goes(spec):
    spec = dataclasses.replace(spec, steps=3, batch=8)
    taken = data.sample_order(Dataset.from_list([{"input_ids": [0], "group": str(at)} for at in range(3)]), spec)
    assert Counter(taken) == {0: 8, 1: 8, 2: 8}
    assert all(set(taken[start : start + 8]) == {0, 1, 2} for start in (0, 8, 16))


def test_rows_of_one_group_share_every_batch_and_groups_that_cannot_are_refused(spec):
    spec = dataclasses.replace(spec, steps=6, batch=4)
    rows = [{"input_ids": [0] * (1 + at % 5), "group": str(at // 2)} for at in range(12)]
    taken = data.sample_order(Dataset.from_list(rows), spec)
    assert sorted(taken) == sorted([*range(12)] * 2)
    assert all(one + 1 == other and one % 2 == 0 for one, other in zip(taken[::2], taken[1::2]))
    for wrong, batch in ((rows[:11], 4), (rows, 3)):
        with pytest.raises(Refusal, match="groups of one size, and a batch that is a multiple of it"):
            data.sample_order(Dataset.from_list(wrong), dataclasses.replace(spec, batch=batch))
