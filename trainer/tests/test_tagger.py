"""Taggers: what they learn, what they refuse, and how they label sentences."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
import world
from training import parsed, refused, run, steps
from transformers import AutoModelForTokenClassification, AutoTokenizer, RobertaConfig, RobertaModel

from backspin_trainer import tag as tag_module
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.spec import TagSpec
from backspin_trainer.stop import Stop
from backspin_trainer.tag import tag
from backspin_trainer.tagger import Labels, count_words, joint_loss, make_tagger, read_tagger
from backspin_trainer.tokens import word_tokens

CITIES = [["new", "york"], ["rome"], ["san", "marino"], ["oslo"]]
DAYS = [["monday"], ["next", "friday"]]
SONGS = [["rome"], ["blue", "monday"], ["oslo", "blues"]]


def sentence(intent: str, *parts: tuple[str, list[str]]) -> dict:
    """A row of `parts`: words, each with the type of its slot (empty: none)."""
    tokens, tags = [], []
    for kind, words in parts:
        tokens += words
        tags += [f"{'I' if at else 'B'}-{kind}" if kind else "O" for at in range(len(words))]
    return {"tokens": tokens, "tags": tags, "intent": intent}


SENTENCES = [
    sentence("weather", ("", ["weather", "in"]), ("city", city), ("", ["on"]), ("day", day))
    for city, day in itertools.product(CITIES, DAYS)
] + [sentence("play", ("", ["play"]), ("song", song), ("", [end])) for song in SONGS for end in ("now", "please")]
SETTINGS = {"objective": "tagger", "maxTokens": 16, "batch": 8}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    words = [word for row in SENTENCES for word in row["tokens"]]
    return world.make_encoder(tmp_path_factory.mktemp("encoder") / "bert", words)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return world.write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", SENTENCES)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory, encoder, data) -> Path:
    folder = tmp_path_factory.mktemp("tagger") / "run"
    assert run(world.train_spec(encoder, data, folder, **SETTINGS, steps=80, checkpointEvery=80)) == Exit.DONE
    return folder / "model"


def labelled(tagger: Path, folder: Path, rows: list[list[str]], batch: int = 4) -> list[dict]:
    folder.mkdir(exist_ok=True)
    file = world.write_rows(folder / "rows.jsonl", [{"tokens": tokens} for tokens in rows])
    assert tag(TagSpec(1, str(tagger), file, str(folder), threads=1, batch=batch), Stop()) == Exit.DONE
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


def test_a_small_grammar_is_learnt_intent_and_slots_together_and_holds_for_sentences_that_were_not_seen(
    tmp_path, encoder
):
    held_out = SENTENCES[7]
    rows = world.write_rows(tmp_path / "rows.jsonl", [row for row in SENTENCES if row != held_out])
    spec = world.train_spec(encoder, rows, tmp_path / "run", **SETTINGS, steps=80, checkpointEvery=80)
    assert run(spec) == Exit.DONE
    losses = [step["loss"] for step in steps(tmp_path / "run")]
    assert losses[-1] < losses[0] / 10
    wanted = [{"intent": row["intent"], "tags": row["tags"]} for row in SENTENCES]
    assert labelled(tmp_path / "run" / "model", tmp_path / "tags", [row["tokens"] for row in SENTENCES]) == wanted


def test_the_loss_is_that_of_the_intents_plus_that_of_the_tags_at_the_first_tokens_of_words():
    logits = {"intents": torch.randn(2, 3), "tags": torch.randn(2, 4, 5)}
    intents, tags = torch.tensor([2, 0]), torch.tensor([[-100, 1, -100, 4], [-100, 0, -100, -100]])
    nll = lambda row, label: -torch.log_softmax(row, -1)[label]  # noqa: E731
    of_intents = (nll(logits["intents"][0], 2) + nll(logits["intents"][1], 0)) / 2
    of_tags = (nll(logits["tags"][0, 1], 1) + nll(logits["tags"][0, 3], 4) + nll(logits["tags"][1, 1], 0)) / 3
    assert count_words(tags) == 3
    assert torch.isclose(joint_loss(logits, tags, intents, 3), of_intents + of_tags)


def test_transformers_reads_the_folder_as_a_token_classifier_with_the_tags_as_its_labels(tagger, encoder):
    plain = AutoModelForTokenClassification.from_pretrained(tagger).eval()
    model, labels = read_tagger(str(tagger))
    assert plain.config.architectures == ["BertForTokenClassification"]
    assert list(plain.config.id2label.values()) == labels.tags == sorted({tag for row in SENTENCES for tag in row["tags"]})
    assert labels.intents == ["play", "weather"]
    assert plain.config.hidden_dropout_prob == 0.1, "the dropout of a run is no part of the model"
    batch = AutoTokenizer.from_pretrained(tagger)("weather in rome", return_tensors="pt")
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    assert torch.equal(plain(**inputs).logits, model(**inputs)["tags"])


def test_killed_between_checkpoints_a_tagger_ends_with_the_very_bytes_of_an_undisturbed_one(tmp_path, encoder, data):
    settings = {**SETTINGS, "steps": 40, "checkpointEvery": 10, "dropout": 0.2}
    undisturbed = world.train_spec(encoder, data, tmp_path / "undisturbed", **settings)
    assert run(undisturbed) == Exit.DONE
    spec = world.train_spec(encoder, data, tmp_path / "run", **settings)
    process = world.start("train", spec, tmp_path / "spec.json")
    world.wait_for(process, lambda: len(steps(tmp_path / "run")) >= 14)
    process.kill()
    process.wait()
    assert run(spec) == Exit.DONE
    resumed = [event["resumedFrom"] for event in world.events(tmp_path / "run") if event["event"] == "start"]
    assert resumed[0] is None and resumed[1] in (10, 20, 30)
    assert world.contents(tmp_path / "run" / "model") == world.contents(tmp_path / "undisturbed" / "model")


def test_two_processes_that_share_a_batch_have_the_loss_of_one(tmp_path, encoder, data):
    settings = {**SETTINGS, "steps": 4, "checkpointEvery": 4}
    one, two = (world.train_spec(encoder, data, tmp_path / name, **settings) for name in ("one", "two"))
    assert run(one) == Exit.DONE
    assert world.start("train", two, tmp_path / "two.json", processes=2).wait() == 0
    losses = [[step["loss"] for step in steps(tmp_path / name)] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_seed_decides_the_heads_and_the_dropout(tmp_path, encoder, data):
    def weights(name: str, **changes) -> bytes:
        spec = world.train_spec(encoder, data, tmp_path / name, **SETTINGS, steps=1, **changes)
        assert run(spec) == Exit.DONE
        return (tmp_path / name / "model" / "model.safetensors").read_bytes()

    assert weights("one", dropout=0.3) == weights("again", dropout=0.3)
    assert len({weights("one"), weights("other", seed=2), weights("without", dropout=0.0)}) == 3


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_dropout_of_a_training_is_that_of_every_layer(tmp_path, encoder, data, dropout):
    spec = parsed(world.train_spec(encoder, data, tmp_path / "run", **SETTINGS, dropout=dropout))
    model = make_tagger(spec, Labels(["O"], ["play"]))
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {dropout}


GOOD = sentence("play", ("", ["play"]), ("song", ["blue", "monday"]))


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"tags": ["O", "I-song", "I-song"]}, "invalid", "the tag I-song at token 2 after O: a slot begins with B-song"),
        ({"tags": ["O", "B-song", "I-city"]}, "invalid", "the tag I-city at token 3 after B-song"),
        ({"tags": ["O", "B-song", "song"]}, "invalid", 'the tag "song" at token 3; give "O", "B-type" or "I-type"'),
        ({"tags": ["O", "B-", "O"]}, "invalid", 'the tag "B-" at token 2'),
        ({"tags": ["O", "O"]}, "invalid", "one for each of its 3 tokens"),
        ({"tags": None}, "invalid", "one for each of its 3 tokens"),
        ({"intent": " "}, "invalid", "a string that is not blank"),
        ({"tokens": ["play", "", "monday"]}, "invalid", "none of them blank"),
        ({"tokens": "play blue monday"}, "invalid", "a list of words"),
        ({"tokens": ["play", "blue", "\u200b"]}, "invalid", "of which there is no token"),
        ({"tokens": ["play"] * 20, "tags": ["O"] * 20}, "too-long", "has 22 tokens; maxTokens is 16"),
    ],
)
def test_a_row_with_bad_labels_is_refused_with_its_reason_and_the_others_are_trained_on(
    tmp_path, encoder, changes, reason, says
):
    file = world.write_rows(tmp_path / "rows.jsonl", [GOOD, {**GOOD, **changes}])
    spec = world.train_spec(encoder, file, tmp_path / "run", **SETTINGS, rows=2)
    assert refused(spec).code == Exit.DATA
    [row] = [json.loads(line) for line in (tmp_path / "run" / "refused.jsonl").read_text().splitlines()]
    assert (row["line"], row["reason"]) == (2, reason) and says in row["evidence"]
    assert run({**spec, "rows": 1, "data": world.write_rows(tmp_path / "left.jsonl", [GOOD])}) == Exit.DONE


def test_a_long_row_may_lose_its_end(tmp_path, encoder):
    long = sentence("play", ("", ["play"] * 9), ("song", ["rome"]), ("", ["now"] * 9))
    file = world.write_rows(tmp_path / "rows.jsonl", [GOOD, long])
    spec = world.train_spec(encoder, file, tmp_path / "run", **{**SETTINGS, "maxTokens": 12}, tooLong="truncate")
    assert run({**spec, "rows": 2}) == Exit.DONE
    [start] = [event for event in world.events(tmp_path / "run") if event["event"] == "start"]
    assert start["truncated"] == 1


def test_a_decoder_and_more_tokens_than_positions_are_refused(tmp_path, encoder, model, data):
    decoder = refused(world.train_spec(model, data, tmp_path / "decoder", **{**SETTINGS, "maxTokens": 64}))
    assert decoder.code == Exit.MODEL and "is of type llama, and a tagger is made of an encoder" in str(decoder)
    long = refused(world.train_spec(encoder, data, tmp_path / "long", **{**SETTINGS, "maxTokens": 25}))
    assert long.code == Exit.SPEC and "the model has 24 positions; lower it" in str(long)


def test_a_word_of_several_tokens_is_tagged_at_its_first_whatever_the_tokenizer_makes_of_spaces(tmp_path):
    world.make_tokenizer(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    words = ["The", "xyzzy", "river", "é", "a b"]
    ids, first = word_tokens(tokenizer, words)
    assert ids == tokenizer.encode(" ".join(words))
    for word, position in zip(words, first, strict=True):
        after = [at for at in first if at > position]
        assert tokenizer.decode(ids[position : min(after, default=len(ids))]).strip() == word
    assert first[2] - first[1] > 1


def test_an_encoder_with_reserved_positions_and_pieces_of_words_becomes_a_tagger_too(tmp_path, data):
    world.make_tokenizer(tmp_path / "roberta")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = RobertaConfig(vocab_size=300, max_position_embeddings=66, initializer_range=0.2, **shape)
    RobertaModel(config).save_pretrained(tmp_path / "roberta")
    settings = {**SETTINGS, "maxTokens": 64, "steps": 80, "checkpointEvery": 80}
    assert run(world.train_spec(tmp_path / "roberta", data, tmp_path / "run", **settings)) == Exit.DONE
    wanted = [row["intent"] for row in SENTENCES]
    answers = labelled(tmp_path / "run" / "model", tmp_path / "tags", [row["tokens"] for row in SENTENCES])
    assert [answer["intent"] for answer in answers] == wanted
    one_more = refused(world.train_spec(tmp_path / "roberta", data, tmp_path / "more", **{**settings, "maxTokens": 65}))
    assert "the model has 64 positions" in str(one_more)


def test_labels_do_not_depend_on_the_batch_and_a_sentence_beyond_the_positions_gets_none(tmp_path, tagger):
    rows = [row["tokens"] for row in SENTENCES] + [["play", "\u200b"], ["play"] * 23, ["play"] * 22]
    alone, together = labelled(tagger, tmp_path / "one", rows, 1), labelled(tagger, tmp_path / "all", rows, 32)
    assert alone == together
    assert together[-3]["tags"][1] == "O", "of a word without tokens"
    assert together[-2] == {"tooLong": "has 25 tokens, and the tagger reads at most 24"}
    assert len(together[-1]["tags"]) == 22


def test_tagging_that_was_stopped_between_two_parts_goes_on_and_gives_the_same_bytes(tmp_path, tagger, monkeypatch):
    rows = [row["tokens"] for row in SENTENCES]
    labelled(tagger, tmp_path / "whole", rows)
    monkeypatch.setattr(tag_module, "_PART", 4)
    save, saved = tag_module._save, []

    def save_and_stop(file, answers):
        save(file, answers)
        saved.append(file.name)
        if len(saved) == 2:
            (tmp_path / "killed" / "stop").touch()

    monkeypatch.setattr(tag_module, "_save", save_and_stop)
    (tmp_path / "killed").mkdir()
    file = world.write_rows(tmp_path / "killed" / "rows.jsonl", [{"tokens": tokens} for tokens in rows])
    spec = TagSpec(1, str(tagger), file, str(tmp_path / "killed"), threads=1, batch=4)
    assert tag(spec, Stop()) == Exit.INTERRUPTED
    (tmp_path / "killed" / "tags" / "00002.partial").write_text("torn")
    assert tag(spec, Stop()) == Exit.DONE
    assert saved == ["00000.jsonl", "00001.jsonl", "00002.jsonl", "00003.jsonl"]
    assert (tmp_path / "killed" / "answers.jsonl").read_bytes() == (tmp_path / "whole" / "answers.jsonl").read_bytes()


def test_a_folder_that_holds_no_tagger_and_a_row_without_words_are_refused(tmp_path, encoder, tagger):
    file = world.write_rows(tmp_path / "rows.jsonl", [{"tokens": ["play"]}, {"tokens": []}])
    with pytest.raises(Refusal, match="No tagger in .*: tagger.json cannot be read"):
        tag(TagSpec(1, str(encoder), world.write_rows(tmp_path / "one.jsonl", [GOOD]), str(tmp_path / "a"), 1), Stop())
    with pytest.raises(Refusal, match='rows.jsonl:2 needs "tokens"'):
        tag(TagSpec(1, str(tagger), file, str(tmp_path / "b"), 1), Stop())
