"""No model passes `check` and fails later: some of docs/models.md are really trained, scored, embedded and served.

They are drawn anew in every run. `BACKSPIN_ARCHITECTURES` is the seed of a draw (it is in the names of the tests), names of
architectures with commas between them, or `all`.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import client
import pytest
import scoring
import torch
import training
import world
from architectures import ALL, CONTEXT, LONG, LORA, USES, Architecture, named_targets, refusals
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedModel,
)

from backspin_trainer.adapters import merge, read_adapted
from backspin_trainer.data import read_examples
from backspin_trainer.embed import embed
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.heads import IGNORED
from backspin_trainer.spec import EmbedSpec, MergeSpec, ModelFolders
from backspin_trainer.stop import Stop
from backspin_trainer.tokens import read_tokenizer, template_tokens

CHOSEN = os.environ.get("BACKSPIN_ARCHITECTURES") or str(random.randrange(1000))
TURNS = world.chat_rows(1)[0]["messages"][:-1]
STEP = {"steps": 1, "checkpointEvery": 9, "maxTokens": CONTEXT, "tooLong": "truncate"}


def drawn() -> list[Architecture]:
    if CHOSEN == "all":
        return ALL
    if CHOSEN.isdigit():
        return random.Random(int(CHOSEN)).sample(ALL, 3)
    return [next(one for one in ALL if one.name == name) for name in CHOSEN.split(",")]


@pytest.mark.parametrize("architecture", drawn(), ids=lambda one: f"{one.name}-{CHOSEN}")
def test_what_check_says_of_a_model_comes_true(tmp_path, architecture):
    folder = architecture.make(tmp_path / "model")
    said = refusals(folder, **USES)
    for use, do in DO.items():
        if said[use] is None:
            do(folder, tmp_path / use)
        elif use not in ("long", "serve"):
            with pytest.raises(Refusal):
                do(folder, tmp_path / use)
    if said["lora"] and not said["train"]:
        train_adapter(folder, tmp_path / "named", named_targets(folder).targets)


def train(folder: Path, scratch: Path, tokens: int = CONTEXT) -> None:
    """A step has the loss of a plain forward pass, rows are as long as the context, and the result is a causal model."""
    rows = world.chat_rows(3)
    rows[2]["messages"][2]["content"] = "The river is old. " * tokens
    data, settings = world.write_rows(scratch.with_suffix(".jsonl"), rows), STEP | {"maxTokens": tokens, "batch": 3}
    spec = world.train_spec(folder, data, scratch / "run", **settings)
    assert training.run(spec) == Exit.DONE
    examples = read_examples(training.parsed(spec), read_tokenizer(str(folder))).dataset
    assert max(map(len, examples["input_ids"])) == tokens
    plain, losses = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), []
    for example in examples:
        logits = plain(torch.tensor([example["input_ids"]])).logits[0, :-1].detach()
        labels = torch.tensor(example["labels"][1:])
        losses.append(cross_entropy(logits, labels, reduction="none")[labels != IGNORED])
    (step,) = training.steps(scratch / "run")
    assert step["loss"] == pytest.approx(float(torch.cat(losses).mean()), abs=1e-3)
    check_causal(exported(scratch / "run/model"))


def train_long(folder: Path, scratch: Path) -> None:
    train(folder, scratch, LONG)


def train_adapter(folder: Path, scratch: Path, targets: list[str] | None = None) -> None:
    """Pairs, whose first loss is ln 2: nothing is drawn at random. The adapter merged is what it is beside its base."""
    rows = [
        {"prompt": row["messages"][:-1], "chosen": row["messages"][-1]["content"], "rejected": "No."}
        for row in world.chat_rows(4)
    ]
    pairs = {"objective": "dpo", "beta": 0.1, "lora": {**asdict(LORA), "targets": targets}}
    data = world.write_rows(scratch.with_suffix(".jsonl"), rows)
    assert training.run(world.train_spec(folder, data, scratch / "run", **STEP, **pairs)) == Exit.DONE
    (step,) = training.steps(scratch / "run")
    assert step["loss"] == pytest.approx(math.log(2), abs=1e-4)
    adapter, merged = scratch / "run/model", scratch / "merged"
    assert merge(MergeSpec(1, str(adapter), str(folder), str(merged))) == Exit.DONE
    beside = read_adapted(ModelFolders(str(adapter), str(folder)), torch.float32).eval()
    base, tokens = exported(folder), torch.arange(4, 14)[None]
    logits = [model(input_ids=tokens).logits.detach() for model in (exported(merged), beside, base)]
    assert torch.allclose(logits[0], logits[1], atol=1e-4)
    assert not torch.equal(logits[1], logits[2])


def train_tagger(folder: Path, scratch: Path) -> None:
    rows = [{"tokens": text.split(), "tags": ["O"] * len(text.split()), "intent": "x"} for text in world.TEXTS[:4]]
    settings = STEP | {"objective": "tagger", "maxTokens": CONTEXT // 2}
    data = world.write_rows(scratch.with_suffix(".jsonl"), rows)
    assert training.run(world.train_spec(folder, data, scratch / "run", **settings)) == Exit.DONE
    AutoModelForTokenClassification.from_pretrained(scratch / "run/model")


def score(folder: Path, scratch: Path) -> None:
    [[answer]] = scoring.answers(
        scoring.spec(folder, scratch, [[{"prompt": {"messages": TURNS}, "continuation": "The river is old."}]])
    )
    prompt, ids = template_tokens(read_tokenizer(str(folder)), TURNS), answer["ids"]
    logits = exported(folder)(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].detach()
    wanted = logits.log_softmax(-1).gather(1, torch.tensor([ids]).T)[:, 0]
    assert torch.allclose(torch.tensor(answer["logprobs"]), wanted, atol=1e-4)


def embed_texts(folder: Path, scratch: Path) -> None:
    """Beside a text that is longer than the context, a pair has the distance that each has alone."""
    pair = ["The town of Belu is far, and so is the ship.", "The river"]
    rows = world.write_rows(scratch.with_suffix(".jsonl"), [{"texts": pair}, {"texts": ["The river of Ardo is old. " * CONTEXT]}])
    run = scratch.with_suffix(".run")
    assert embed(EmbedSpec(1, ModelFolders(str(folder)), rows, str(run), 1, 0, 512, 1), Stop()) == Exit.DONE
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    body = model.get_encoder() if model.config.is_encoder_decoder else model
    first, second = (
        body(input_ids=torch.tensor([tokenizer.encode(text)])).last_hidden_state[0].detach().mean(0) for text in pair
    )
    distance = json.loads((run / "answers.jsonl").read_text().splitlines()[0])["distance"]
    assert distance == pytest.approx(float(1 - torch.cosine_similarity(first, second, 0)), abs=1e-4)


def serve(folder: Path, scratch: Path) -> None:
    scratch.mkdir()
    process, server = client.start(scratch, {"tied": folder})
    try:
        reply = server.chat(TURNS[-1]["content"], max_tokens=1, temperature=0, logprobs=True)
    finally:
        process.kill()
        process.wait()
    prompt = template_tokens(read_tokenizer(str(folder)), TURNS[-1:])
    logprobs = exported(folder)(torch.tensor([prompt])).logits[0, -1].detach().log_softmax(-1)
    (choice,) = reply["choices"]
    assert choice["logprobs"]["content"][0]["logprob"] == pytest.approx(float(logprobs.max()), abs=1e-4)


DO: dict[str, Callable[[Path, Path], None]] = {
    "train": train,
    "long": train_long,
    "lora": train_adapter,
    "tag": train_tagger,
    "score": score,
    "embed": embed_texts,
    "serve": serve,
}


def exported(folder: Path) -> PreTrainedModel:
    """As a user loads it: with all weights, and none that the model does not have."""
    model, loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not any(loaded[keys] for keys in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def check_causal(model: PreTrainedModel) -> None:
    """What comes later changes nothing before."""
    one, other = torch.arange(4, 14)[None], torch.cat([torch.arange(4, 9), torch.full((5,), 20)])[None]
    first, second = (model(input_ids=tokens).logits[0, :5].detach() for tokens in (one, other))
    assert torch.allclose(first, second, atol=1e-4)
