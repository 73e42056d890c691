from __future__ import annotations

import json
import random

import pytest
import torch
import world
from scoring import CHAT, PREFILLED, ROWS, TEXT, TOKENS, answers, spec
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config, GPT2Config

from backspin_trainer import score as score_module
from backspin_trainer.adapters import merge
from backspin_trainer.exits import Exit
from backspin_trainer.models import read_model
from backspin_trainer.score import Scorer, Sequence
from backspin_trainer.spec import MergeSpec, ModelFolders


def prompt_ids(tokenizer, prompt: dict) -> list[int]:
    if "messages" not in prompt:
        return prompt.get("tokens") or tokenizer.encode(prompt["text"])
    text = tokenizer.apply_chat_template(prompt["messages"], tokenize=False, add_generation_prompt=True)
    return tokenizer.encode(text + prompt.get("prefill", ""))


@torch.inference_mode()
def plain(model, prompt: list[int], ids: list[int]) -> torch.Tensor:
    """All log-probabilities [tokens, vocabulary] of a whole forward."""
    logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 :]
    return logits.double().log_softmax(-1)[: len(ids)]


def close(ours: list[float], theirs: torch.Tensor, within: float = 1e-5) -> bool:
    return torch.allclose(torch.tensor(ours), theirs.float(), rtol=0, atol=within)


def check(model, prompt: list[int], second_prompt: list[int] | None, answer: dict) -> None:
    p = plain(model, prompt, answer["ids"])
    assert close(answer["logprobs"], p[range(len(p)), answer["ids"]])
    assert close(answer["entropies"], -(p.exp() * p).sum(-1))
    assert ("second" in answer) == (second_prompt is not None)
    if second_prompt is not None:
        q, other = plain(model, second_prompt, answer["ids"]), answer["second"]
        assert close(other["logprobs"], q[range(len(q)), answer["ids"]])
        assert close(other["entropies"], -(q.exp() * q).sum(-1))
        assert close(other["kl"], (q.exp() * (q - p)).sum(-1))
        assert close(other["reverseKl"], (p.exp() * (p - q)).sum(-1))


def test_numbers_are_those_of_a_plain_forward_and_of_the_naive_formulas(tmp_path, model, tokenizer):
    causal = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for asked, row in zip(ROWS, answers(spec(model, tmp_path / "run", batch=2)), strict=True):
        for ask, answer in zip(asked, row, strict=True):
            end = [tokenizer.eos_token_id] if ask.get("includeEos") else []
            assert answer["ids"] == tokenizer.encode(ask["continuation"]) + end
            second_prompt = prompt_ids(tokenizer, ask["secondPrompt"]) if "secondPrompt" in ask else None
            check(causal, prompt_ids(tokenizer, ask["prompt"]), second_prompt, answer)


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 90}
BENT = {"num_key_value_heads": 1, "head_dim": 16, "final_logit_softcapping": 0.5, "initializer_range": 0.5}


@pytest.mark.parametrize("config", [Gemma2Config(**SMALL, **BENT), GPT2Config(**SMALL)])
def test_a_models_own_way_from_hidden_states_to_logits_is_taken(config):
    torch.manual_seed(0)
    whole = AutoModelForCausalLM.from_config(config).eval()
    wanted = plain(whole, [5, 6, 7], [8, 9, 10])
    longer = Sequence([5] * 20, [8] * 9)
    logprobs, entropies = Scorer(whole, 4).score([Sequence([5, 6, 7], [8, 9, 10]), longer])[0].tolist()
    assert close(logprobs, wanted[range(3), [8, 9, 10]])
    assert close(entropies, -(wanted.exp() * wanted).sum(-1))


def test_ids_and_log_probabilities_are_those_that_the_embedded_server_gives(tmp_path, model, server):
    def tokens(**prompt) -> list[int]:
        status, reply = server.send("/tokenize", {"model": "tied", **prompt})
        assert status == 200, reply
        return reply["tokens"]

    def before(prompt: dict) -> list[int]:
        if "tokens" in prompt:
            return prompt["tokens"]
        if "prefill" not in prompt:
            return tokens(messages=prompt["messages"]) if "messages" in prompt else tokens(prompt=prompt["text"])
        opened = [*prompt["messages"], {"role": "assistant", "content": prompt["prefill"]}]
        return tokens(messages=opened, add_generation_prompt=False, continue_final_message=True)

    rows = [[{**ask, "includeEos": False} for ask in asked] for asked in ROWS]
    for asked, row in zip(rows, answers(spec(model, tmp_path / "run", rows)), strict=True):
        for ask, answer in zip(asked, row, strict=True):
            prompt, ids = before(ask["prompt"]), tokens(prompt=ask["continuation"])
            assert answer["ids"] == ids
            reply = server.complete(prompt=prompt + ids, max_tokens=1, prompt_logprobs=0)
            given = reply["choices"][0]["prompt_logprobs"][len(prompt) :]
            wanted = [one[str(token)]["logprob"] for one, token in zip(given, ids, strict=True)]
            assert close(answer["logprobs"], torch.tensor(wanted), 1e-4)


def test_what_the_tokenizer_puts_before_every_text_stands_before_the_prompt_alone(tmp_path):
    folder = world.make_model(tmp_path / "begins")
    file = folder / "tokenizer.json"
    rules = json.loads(file.read_text())
    begin = {"id": "<|doc|>", "ids": [2], "tokens": ["<|doc|>"]}
    single = [{"SpecialToken": {"id": "<|doc|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 0}}]
    template = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": {"<|doc|>": begin}}
    file.write_text(json.dumps(rules | {"post_processor": template}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.encode("") == [2]
    [[answer]] = answers(spec(folder, tmp_path / "run", [[{"prompt": TEXT, "continuation": " is old."}]]))
    assert answer["ids"] == tokenizer.encode(" is old.", add_special_tokens=False)
    check(AutoModelForCausalLM.from_pretrained(folder), tokenizer.encode(TEXT["text"]), None, answer)


def test_what_else_is_asked_and_in_which_order_changes_nothing(tmp_path, model):
    chance = random.Random(0)
    text = lambda most: " ".join(chance.choices(world.TEXTS, k=chance.randint(1, most)))  # noqa: E731
    rows = [
        [{"prompt": {"text": text(3)}, "continuation": text(3)} | ({"secondPrompt": {"text": text(2)}} if n % 2 else {})]
        for n in range(24)
    ]
    alone = answers(spec(model, tmp_path / "alone", rows, batch=1))
    order = chance.sample(range(24), 24)
    together = answers(spec(model, tmp_path / "together", [rows[at] for at in order], batch=7))
    for at, row in zip(order, together, strict=True):
        assert row[0]["ids"] == alone[at][0]["ids"]
        for ours, theirs in ((row[0], alone[at][0]), (row[0].get("second", {}), alone[at][0].get("second", {}))):
            assert set(ours) == set(theirs)
            for name in set(ours) - {"ids", "second"}:
                assert close(ours[name], torch.tensor(theirs[name]))


def test_the_head_sees_only_what_predicts_a_continuation_and_few_positions_at_once(model, monkeypatch):
    causal, seen, calls = read_model(str(model), 0.0), [], []
    body, scorer = causal.base_model, Scorer(causal, 2)
    causal.lm_head.register_forward_hook(lambda _, __, logits: seen.append(logits.shape[:-1].numel()))
    body.register_forward_hook(lambda _, __, states: calls.append(states.last_hidden_state.shape[0]))
    monkeypatch.setattr(score_module, "_POSITIONS", 4)
    sequences = [Sequence([5] * (10 + n), [6] * (3 + n), [7] * 5 if n % 2 else None) for n in range(6)]
    scorer.score(sequences)
    counts = [len(one.ids) * (1 if one.second_prompt is None else 2) for one in sequences]
    assert max(seen) == 4 and sum(seen) == sum(counts)
    assert max(calls) == 2


def test_what_differs_in_its_last_token_alone_is_read_once_and_scored_as_if_by_itself(tmp_path, model, monkeypatch):
    ratings = [" 1", " 2", " 3", " 4", " 5"]
    rows = [
        [{"prompt": {**prompt, "prefill": "Score:"}, "continuation": one} | more for one in ratings]
        for prompt in (CHAT, {"messages": [{"role": "user", "content": "Another"}]})
        for more in ({}, {"secondPrompt": TEXT})
    ]
    read = []
    states = Scorer._states
    monkeypatch.setattr(Scorer, "_states", lambda self, texts: read.extend(texts) or states(self, texts))
    together = answers(spec(model, tmp_path / "together", rows))
    assert len(read) == 2 + 2 * 2
    alone = answers(spec(model, tmp_path / "alone", [[ask] for row in rows for ask in row], batch=1))
    for ours, (theirs,) in zip((one for row in together for one in row), alone, strict=True):
        assert ours["ids"] == theirs["ids"] and ("second" in ours) == ("second" in theirs)
        assert close(ours["logprobs"], torch.tensor(theirs["logprobs"]))
        assert close(ours.get("second", {}).get("kl", []), torch.tensor(theirs.get("second", {}).get("kl", [])))


def test_an_adapter_is_scored_with_what_it_goes_upon(tmp_path, model):
    adapter = world.make_adapter(model, tmp_path / "adapter", seed=1, targets=("q_proj", "v_proj"))
    assert merge(MergeSpec(1, str(adapter), str(model), str(tmp_path / "merged"))) == Exit.DONE
    upon = answers(spec(model, tmp_path / "upon", model=ModelFolders(str(adapter), str(model))))
    assert upon == answers(spec(tmp_path / "merged", tmp_path / "whole"))
    assert upon[0][0]["logprobs"] != answers(spec(model, tmp_path / "base"))[0][0]["logprobs"]


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (
            {"prompt": {"tokens": [7] * 60}, "continuation": "a" * 36},
            {"tooLong": "prompt and continuation have 96 tokens, the context 96 for them and one more"},
        ),
        (
            {"prompt": TOKENS, "continuation": "a", "secondPrompt": {"tokens": [7] * 120}},
            {"tooLong": "prompt and continuation have 121 tokens, the context 96 for them and one more"},
        ),
        (
            {"prompt": {"text": ""}, "continuation": "a"},
            {"rejected": "the prompt has no tokens, so nothing predicts the first of the continuation"},
        ),
        (
            {"prompt": TOKENS, "continuation": "a", "secondPrompt": {"tokens": []}},
            {"rejected": "the prompt has no tokens, so nothing predicts the first of the continuation"},
        ),
        (
            {"prompt": {"tokens": [300]}, "continuation": "a"},
            {"rejected": "token 300 is not in the model's vocabulary"},
        ),
        (
            {"prompt": PREFILLED, "continuation": "a", "includeEos": True},
            {"rejected": "a continuation that ends its turn needs messages without prefill for a prompt"},
        ),
    ],
)
def test_what_cannot_be_scored_says_why_and_the_rest_is_scored(tmp_path, model, ask, answer):
    [[first, second]] = answers(spec(model, tmp_path / "run", [[ask, ROWS[0][0]]]))
    assert first == answer
    assert len(second["logprobs"]) == len(second["ids"]) > 0


def test_the_longest_that_fits_is_one_token_short_of_the_context(tmp_path, model, tokenizer):
    count = len(tokenizer.encode("a" * 36))
    [[answer]] = answers(
        spec(model, tmp_path / "run", [[{"prompt": {"tokens": [7] * (95 - count)}, "continuation": "a" * 36}]])
    )
    assert len(answer["logprobs"]) == count


def test_messages_without_a_chat_template_are_rejected_and_text_is_scored(tmp_path):
    folder = world.make_model(tmp_path / "plain")
    world.make_tokenizer(folder, template=None)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    asked = [{"prompt": CHAT, "continuation": "a"}, {"prompt": TEXT, "continuation": "a"}]
    [[first, second]] = answers(spec(folder, tmp_path / "run", [asked]))
    assert first["rejected"].startswith("the conversation cannot be rendered by the model's chat template")
    assert second["logprobs"]
