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
import torch
import world
from transformers import AutoModel, AutoTokenizer, BertModel

from backspin_trainer import embed as embed_module
from backspin_trainer.embed import embed, farthest_first, k_means
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.spec import EmbedSpec, ModelFolders, read_spec
from backspin_trainer.stop import Stop

TEXTS = [
    ["the town lies in the north", "the town lies in the north"],
    ["a ship", "birds sing at night, and then they sleep until the day"],
    ["a river is long", "a river is short"],
    ["alone"],
    ["", "nothing"],
]
WORDS = " ".join(text for texts in TEXTS for text in texts).replace(",", "").split()


def spec(weights: Path, folder: Path, rows: list[list[str]] = TEXTS, **changes) -> EmbedSpec:
    folder.mkdir(exist_ok=True)
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps({"texts": texts}) + "\n" for texts in rows))
    return EmbedSpec(
        **{
            "version": 1,
            "model": ModelFolders(str(weights)),
            "rows": str(file),
            "run": str(folder),
            "clusters": 2,
            "seed": 0,
            "max_tokens": 16,
            "threads": 1,
            "batch": 4,
            **changes,
        }
    )


def answers(of: EmbedSpec) -> list[dict]:
    return [json.loads(line) for line in (Path(of.run) / "answers.jsonl").read_text().splitlines()]


def test_a_distance_is_that_of_the_mean_hidden_states_whatever_else_is_in_the_batch(tmp_path, model, tokenizer):
    one = spec(model, tmp_path / "run")
    assert embed(one, Stop()) == Exit.DONE
    plain = AutoModel.from_pretrained(model, dtype=torch.float32).eval()

    @torch.inference_mode()
    def vector(text: str) -> torch.Tensor:
        ids = tokenizer.encode(text)[:16] or [tokenizer.eos_token_id]
        return plain(torch.tensor([ids])).last_hidden_state[0].mean(0)

    for texts, answer in zip(TEXTS, answers(one), strict=True):
        wanted = 1 - torch.cosine_similarity(vector(texts[0]), vector(texts[1]), 0) if len(texts) > 1 else 0
        assert abs(answer["distance"] - wanted) < 1e-5
    assert answers(one)[0]["distance"] == 0
    assert answers(one)[1]["distance"] > 0.01


@pytest.mark.parametrize(("mode", "vector"), [("mean", lambda hidden: hidden.mean(0)), ("cls", lambda hidden: hidden[0])])
def test_a_folder_of_sentence_transformers_is_embedded_as_it_says(tmp_path, mode, vector):
    """As all-MiniLM-L6-v2 (mean) and BGE (first token): a text that is longer than `max_seq_length` ends with [SEP] too."""
    folder = world.make_encoder(tmp_path / "encoder", WORDS)
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    names = {"mean": "mean_tokens", "cls": "cls_token"}
    config = {f"pooling_mode_{name}": own == mode for own, name in names.items()}
    (folder / "1_Pooling/config.json").write_text(json.dumps(config))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 6}))
    one = spec(folder, tmp_path / "run")
    assert embed(one, Stop()) == Exit.DONE
    tokenizer, plain = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).eval()

    @torch.inference_mode()
    def expected(text: str) -> torch.Tensor:
        ids = tokenizer.encode(text, truncation=True, max_length=6)
        assert ids[-1] == tokenizer.sep_token_id
        return vector(plain(torch.tensor([ids])).last_hidden_state[0])

    for texts, answer in zip(TEXTS, answers(one), strict=True):
        wanted = 1 - torch.cosine_similarity(*map(expected, texts), 0) if len(texts) > 1 else 0
        assert abs(answer["distance"] - wanted) < 1e-5


def test_an_adapter_is_embedded_with_what_it_goes_upon(tmp_path, model):
    adapter = world.make_adapter(model, tmp_path / "adapter", seed=1, targets=("q_proj", "v_proj"))
    without = spec(model, tmp_path / "b")
    with_it = spec(model, tmp_path / "a", model=ModelFolders(str(adapter), str(model)))
    assert (embed(with_it, Stop()), embed(without, Stop())) == (Exit.DONE, Exit.DONE)
    assert [one["distance"] for one in answers(with_it)] != [one["distance"] for one in answers(without)]


@pytest.mark.parametrize("special", [True, False])
def test_an_encoder_without_end_token_embeds_texts_of_any_length_even_empty_ones(tmp_path, special):
    folder = world.make_encoder(tmp_path / "encoder", WORDS, special)
    rows = [*TEXTS, ["a river is long " * 20, "a river is long " * 30], ["", ""]]
    one = spec(folder, tmp_path / "run", rows, max_tokens=512)
    assert embed(one, Stop()) == Exit.DONE
    tokenizer, plain = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).eval()
    assert tokenizer.eos_token is None and tokenizer.chat_template is None
    assert len(tokenizer.encode("")) == (2 if special else 0)

    @torch.inference_mode()
    def vector(text: str) -> torch.Tensor:
        return plain(torch.tensor([tokenizer.encode(text)[:24] or [0]])).last_hidden_state[0].mean(0)

    for texts, answer in zip(rows, answers(one), strict=True):
        wanted = 1 - torch.cosine_similarity(vector(texts[0]), vector(texts[1]), 0) if len(texts) > 1 else 0
        assert abs(answer["distance"] - wanted) < 1e-5
    assert answers(one)[1]["distance"] > 0.01


def test_k_means_finds_what_lies_together_is_seeded_and_takes_no_more_clusters_than_points():
    chance = torch.Generator().manual_seed(1)
    groups = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = groups.repeat_interleave(20, 0) + torch.randn(60, 2, generator=chance)
    for seed in range(5):
        clusters = k_means(points, 3, seed)
        assert clusters == k_means(points, 3, seed)
        assert len({tuple(clusters[at : at + 20]) for at in (0, 20, 40)}) == 3
        assert all(len(set(clusters[at : at + 20])) == 1 for at in (0, 20, 40))
    assert sorted(k_means(points[:4], 200, 0)) == [0, 1, 2, 3]
    assert len(k_means(torch.ones(5, 2), 3, 0)) == 5


def test_k_means_ends_where_every_point_is_with_the_nearest_mean():
    points = torch.randn(300, 8, generator=torch.Generator().manual_seed(3))
    clusters = torch.tensor(k_means(points, 12, 7))
    means = torch.stack([points[clusters == cluster].mean(0) for cluster in range(12)])
    assert torch.equal(torch.cdist(points, means).argmin(1), clusters)


def test_farthest_first_begins_with_the_first_and_each_next_pick_is_the_one_farthest_from_those_before():
    points = torch.randn(200, 8, generator=torch.Generator().manual_seed(5))
    picks = farthest_first(points, 40)
    assert picks[0] == 0 and len(set(picks)) == 40
    between = torch.cdist(points.double(), points.double())
    for n in range(1, 40):
        nearest = between[:, picks[:n]].min(1).values
        assert nearest[picks[n]] >= nearest.max() - 1e-9
    assert farthest_first(points, 40) == picks
    assert sorted(farthest_first(torch.ones(5, 2), 9)) == [0, 1, 2, 3, 4], "each once, equal ones too"
    assert farthest_first(points[:0], 3) == []


def test_rows_are_picked_by_their_first_texts_and_only_where_that_is_asked_for(tmp_path, model):
    rows = [["a river is long"], ["a river is long"], ["birds sing at night, and then they sleep until the day"]]
    picking, not_picking = spec(model, tmp_path / "a", rows, picks=2), spec(model, tmp_path / "b", rows)
    assert (embed(picking, Stop()), embed(not_picking, Stop())) == (Exit.DONE, Exit.DONE)
    assert [one["pick"] for one in answers(picking)] == [0, None, 1]
    assert [one["pick"] for one in answers(not_picking)] == [None, None, None]
    with pytest.raises(Refusal, match="picks"):
        spec(model, tmp_path / "c", rows, picks=0)


def test_a_run_that_was_killed_between_two_parts_goes_on_and_gives_the_same_bytes(tmp_path, model):
    rows = [[f"text {n} of a river", f"{n} birds"] for n in range(40)]
    whole, killed = spec(model, tmp_path / "whole", rows), spec(model, tmp_path / "killed", rows)
    command = "import sys; from backspin_trainer import embed; embed._PART = 4; from backspin_trainer.__main__ import main"
    slow = "; s = embed._save; embed._save = lambda f, v: (s(f, v), __import__('time').sleep(0.2))"
    file = tmp_path / "killed.json"
    keys = {"max_tokens": "maxTokens"}
    file.write_text(json.dumps({keys.get(key, key): value for key, value in asdict(killed).items()}))
    child = subprocess.Popen([sys.executable, "-c", f"{command}{slow}; sys.exit(main())", "embed", "--spec", file])
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "killed" / "vectors").glob("*.pt"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    parts = len(list((tmp_path / "killed" / "vectors").glob("*.pt")))
    assert 3 <= parts < 10
    (tmp_path / "killed" / "vectors" / "00009.partial").write_bytes(b"torn")
    part, embed_module._PART = embed_module._PART, 4
    try:
        assert embed(read_spec(str(file), EmbedSpec), Stop()) == Exit.DONE
        assert embed(whole, Stop()) == Exit.DONE
    finally:
        embed_module._PART = part
    assert (tmp_path / "killed" / "answers.jsonl").read_bytes() == (tmp_path / "whole" / "answers.jsonl").read_bytes()
    events = [json.loads(line) for line in (tmp_path / "killed" / "events.jsonl").read_text().splitlines()]
    assert [event["resumedFrom"] for event in events if event["event"] == "start"] == [None, 4 * parts]


def test_a_run_stops_at_the_next_part_when_it_is_told_to(tmp_path, model):
    one = spec(model, tmp_path / "run")
    (tmp_path / "run" / "stop").touch()
    assert embed(one, Stop()) == Exit.INTERRUPTED
    assert not (tmp_path / "run" / "answers.jsonl").exists()
    assert embed(one, Stop()) == Exit.DONE


def test_no_rows_have_no_answers(tmp_path, model):
    one = spec(model, tmp_path / "run", [])
    assert embed(one, Stop()) == Exit.DONE
    assert answers(one) == []


@pytest.mark.parametrize("row", ["{}", "[]", "no json", '{"texts": []}', '{"texts": [1]}'])
def test_a_row_without_texts_is_named(tmp_path, model, row):
    one = spec(model, tmp_path / "run")
    Path(one.rows).write_text('{"texts": ["fine"]}\n' + row + "\n")
    with pytest.raises(Refusal, match=r"rows\.jsonl") as refusal:
        embed(one, Stop())
    assert refusal.value.code == Exit.DATA
