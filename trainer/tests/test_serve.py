from __future__ import annotations

import concurrent.futures
import json
from typing import Any

import client
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from backspin_trainer.llama import CHUNK, Llama, rotations
from backspin_trainer.spec import ModelFolders
from backspin_trainer.weights import read_config, read_weights

LONG = "Vexing quick wizards jump by zephyrs; my fox, glad, barks on."  # few of its letters merge into longer tokens


@pytest.fixture(scope="module")
def network(model):
    return AutoModelForCausalLM.from_pretrained(model).eval()


def generated(network, ids: list[int], count: int, **options: Any) -> list[int]:
    with torch.no_grad():
        return network.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids)),
            max_new_tokens=count,
            do_sample=False,
            **options,
        )[0, len(ids) :].tolist()


@pytest.mark.parametrize(("which", "prompt"), [("model", 64), ("untied", 64), ("wide", 576)])
def test_its_own_forward_pass_equals_transformers_to_1e_4(request, which, prompt):
    folder = request.getfixturevalue(which)
    ids = torch.randint(3, 300, (1, prompt + 6))
    with torch.inference_mode():
        theirs = AutoModelForCausalLM.from_pretrained(folder)(ids).logits[0]
        llama = Llama(read_weights(ModelFolders(str(folder))), 8, 2)
        hidden = [
            llama.prefill(ids[:, start : start + CHUNK], torch.tensor([start]), torch.tensor([3]))[0]
            for start in range(0, prompt, CHUNK)
        ]
        ours = [llama.head(chunk) for chunk in hidden]
        for place in range(prompt, prompt + 6):
            tokens, positions = torch.zeros(8, dtype=torch.long), torch.zeros(8, dtype=torch.long)
            tokens[3], positions[3] = ids[0, place], place
            ours.append(llama.decode(tokens, positions)[3:4])
    torch.testing.assert_close(torch.cat(ours), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "rope",
    [
        {},
        {"rope_theta": 500.0},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            }
        },
    ],
)
def test_places_are_rotated_as_in_transformers_bit_for_bit_whatever_the_age_of_the_config(tmp_path, model, rope):
    config = json.loads((model / "config.json").read_text())
    del config["rope_parameters"], config["head_dim"], config["num_key_value_heads"]
    config = {**config, "num_attention_heads": 2, **rope}
    (tmp_path / "config.json").write_text(json.dumps(config))
    shape = read_config(str(tmp_path))
    ours = rotations(shape, torch.arange(96))
    theirs = LlamaRotaryEmbedding(LlamaConfig.from_pretrained(tmp_path))(torch.zeros(1), torch.arange(96)[None])
    assert all(torch.equal(a, b[0]) for a, b in zip(ours, theirs))


def test_prompt_and_answer_are_limited_to_the_length_that_the_spec_sets(tmp_path, model):
    process, talk = client.start(tmp_path, {"tied": model}, maxModelLength=32)
    try:
        assert talk.complete(prompt=[5] * 24, max_tokens=8)["usage"]["completion_tokens"] <= 8
        status, _, message = talk.refusal("/v1/completions", {"model": "tied", "prompt": [5] * 24, "max_tokens": 9})
        assert status == 400 and "context of 32" in message
    finally:
        process.kill()


def test_a_server_takes_other_models_and_answers_as_one_that_started_with_them(tmp_path, server, model, untied):
    process, talk = client.start(tmp_path, {"first": model}, threads=2)
    try:
        before = talk.complete(model="first", prompt=LONG, seed=3, max_tokens=12)
        status, listed = talk.send(
            "/models", {"tied": client.whole(model), "untied": client.whole(untied)}, method="PUT"
        )
        assert (status, [entry["id"] for entry in listed["data"]]) == (200, ["tied", "untied"])
        for name in ("tied", "untied"):
            asked = {"model": name, "prompt": LONG, "seed": 3, "max_tokens": 12}
            assert talk.complete(**asked)["choices"] == server.complete(**asked)["choices"]
        assert before["choices"] == talk.complete(prompt=LONG, seed=3, max_tokens=12)["choices"]
        assert talk.refusal("/v1/completions", {"model": "first", "prompt": "x"})[0] == 404
        status, _, message = talk.refusal("/models", {"other": client.whole(tmp_path / "nothing")}, method="PUT")
        assert status == 400 and "nothing" in message
        assert talk.send("/models", {"tied": client.whole(model)}, key=None, method="PUT")[0] == 401
    finally:
        process.kill()
        process.wait()


def test_a_greedy_chat_equals_transformers_in_tokens_and_log_probabilities(server, network, tokenizer):
    reply = server.chat("Which river?", temperature=0, max_tokens=20, logprobs=True, top_logprobs=2)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Which river?"}], add_generation_prompt=True, return_dict=False
    )
    tokens = generated(network, ids, 20)
    (choice,) = reply["choices"]
    assert choice["message"] == {"role": "assistant", "content": tokenizer.decode(tokens, skip_special_tokens=True)}
    assert reply["usage"] == {
        "prompt_tokens": len(ids),
        "completion_tokens": len(tokens),
        "total_tokens": len(ids) + len(tokens),
    }
    with torch.no_grad():
        weights = network(torch.tensor([ids + tokens])).logits[0].log_softmax(-1)[len(ids) - 1 : -1]
    content = choice["logprobs"]["content"]
    assert [entry["logprob"] for entry in content] == pytest.approx(
        [float(row[token]) for row, token in zip(weights, tokens)], abs=1e-4
    )
    assert [entry["top_logprobs"][1]["logprob"] for entry in content] == pytest.approx(
        [float(row.topk(2)[0][1]) for row in weights], abs=1e-4
    )
    assert choice["finish_reason"] == ("stop" if tokens[-1] == 1 else "length")


def test_prompt_log_probabilities_equal_transformers_over_several_chunks(server, network, tokenizer):
    ids = tokenizer.encode(LONG)
    assert len(ids) > CHUNK
    reply = server.complete(prompt=ids, max_tokens=0, prompt_logprobs=1)
    first, *scored = reply["choices"][0]["prompt_logprobs"]
    with torch.no_grad():
        weights = network(torch.tensor([ids])).logits[0].log_softmax(-1)
    assert first is None and len(scored) == len(ids) - 1
    assert [entry[str(token)]["logprob"] for entry, token in zip(scored, ids[1:])] == pytest.approx(
        [float(row[token]) for row, token in zip(weights, ids[1:])], abs=1e-4
    )
    for entry, token, row in zip(scored, ids[1:], weights):
        assert entry[str(token)]["rank"] == int((row > row[token]).sum()) + 1
        assert str(int(row.argmax())) in entry
    assert reply["choices"][0]["text"] == "" and reply["usage"]["completion_tokens"] == 0


def test_what_may_come_next_is_named_by_ids_on_request_with_the_numbers_that_each_has_as_a_prompt(server, tokenizer):
    ids = tokenizer.encode(LONG)
    asked = {"prompt": ids, "max_tokens": 1, "temperature": 0, "logprobs": 20, "prompt_logprobs": 0}
    (choice,) = server.complete(**asked, return_tokens_as_token_ids=True)["choices"]
    (likeliest,) = choice["logprobs"]["top_logprobs"]
    assert len(likeliest) == 20 and choice["logprobs"]["tokens"][0] in likeliest
    for name, logprob in likeliest.items():
        token = int(name.removeprefix("token_id:"))
        reply = server.complete(prompt=[*ids, token], max_tokens=1, prompt_logprobs=0)
        assert logprob == pytest.approx(reply["choices"][0]["prompt_logprobs"][-1][str(token)]["logprob"], abs=1e-4)
    (by_text,) = server.complete(**asked)["choices"][0]["logprobs"]["top_logprobs"]
    assert not any(name.startswith("token_id:") for name in by_text)
    assert choice["prompt_logprobs"] is not None


def test_a_repetition_penalty_equals_transformers(server, network, tokenizer):
    ids = tokenizer.encode("The river of")
    theirs = generated(network, ids, 12, repetition_penalty=1.5)
    assert server.complete(prompt=ids, temperature=0, max_tokens=12, repetition_penalty=1.5)["choices"][0][
        "text"
    ] == tokenizer.decode(theirs, skip_special_tokens=True)


def test_a_reply_is_the_same_bit_for_bit_alone_and_among_others_of_any_length(server):
    asked = [
        {
            "prompt": LONG[: 5 + 4 * (index % 13)],
            "max_tokens": 4 + index % 17,
            "seed": index,
            "logprobs": 3,
            "prompt_logprobs": 0,
            **settings,
        }
        for index, settings in enumerate(
            [
                {"temperature": 0.9},
                {"temperature": 1.5, "top_p": 0.8},
                {"temperature": 1.2, "top_k": 7},
                {"temperature": 0},
                {"repetition_penalty": 1.3},
            ]
            * 13
        )
    ]
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda body: server.complete(**body)["choices"], asked))
    again = list(reversed([server.complete(**body)["choices"] for body in reversed(asked)]))
    assert len(asked) > 64 and together == again


def test_a_seed_repeats_its_answers_and_each_of_n_is_another(server):
    def texts(**body: Any) -> list[str]:
        return [
            choice["text"]
            for choice in server.complete(prompt="The", max_tokens=12, temperature=1.5, **body)["choices"]
        ]

    four = texts(seed=5, n=4)
    assert four == texts(seed=5, n=4) and four[:2] == texts(seed=5, n=2)
    assert len(set(four)) == 4 and texts(seed=6) != four[:1]
    assert texts() != texts()


def test_top_k_of_one_and_a_tiny_top_p_are_greedy(server):
    greedy = server.complete(prompt=LONG, max_tokens=10, temperature=0)["choices"][0]["text"]
    assert server.complete(prompt=LONG, max_tokens=10, temperature=2, top_k=1)["choices"][0]["text"] == greedy
    assert server.complete(prompt=LONG, max_tokens=10, temperature=2, top_p=1e-9)["choices"][0]["text"] == greedy


def test_a_choice_is_answered_by_one_of_its_texts_as_likely_as_the_model_holds_each(server, network, tokenizer):
    texts = ["The river", "The", "The rivers of", "zq"]
    asked = {"prompt": LONG, "max_tokens": 20, "structured_outputs": {"choice": texts}}
    choices = [server.complete(**asked, temperature=1, seed=seed, n=100)["choices"] for seed in range(3)]
    given = [choice["text"] for some in choices for choice in some]
    assert set(given) <= set(texts) and all(choice["finish_reason"] == "stop" for some in choices for choice in some)
    ids = tokenizer.encode(LONG)
    answers = [[*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in texts]
    for text, share in zip(texts, shares_of_choices(network, ids, answers)):
        assert given.count(text) / 300 == pytest.approx(share, abs=0.1)
    assert server.chat("Which?", structured_outputs={"choice": ["zq"]})["choices"][0]["message"]["content"] == "zq"


def shares_of_choices(network, prompt: list[int], answers: list[list[int]]) -> list[float]:
    """The probability of each answer if each token is drawn among those that an answer goes on with."""
    shares = []
    for answer in answers:
        share = 1.0
        with torch.inference_mode():
            logits = network(torch.tensor([[*prompt, *answer]])).logits[0]
        for place, token in enumerate(answer):
            allowed = sorted({one[place] for one in answers if one[:place] == answer[:place]})
            row = logits[len(prompt) + place - 1, allowed].softmax(-1)
            share *= float(row[allowed.index(token)])
        shares.append(share)
    return shares


def test_a_stop_string_ends_the_answer_before_it(server):
    whole = server.complete(prompt="The", max_tokens=20, temperature=0)["choices"][0]["text"]
    stop = whole[8:10]
    choice = server.complete(prompt="The", max_tokens=20, temperature=0, stop=["never-said", stop])["choices"][0]
    assert choice["text"] == whole[: whole.index(stop)] and choice["finish_reason"] == "stop"


def test_a_prefill_goes_on_with_the_assistants_last_message(server, tokenizer):
    messages = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "The river"}]
    body = {"model": "tied", "messages": messages, "add_generation_prompt": False, "continue_final_message": True}
    status, reply = server.send("/v1/chat/completions", {**body, "temperature": 0, "max_tokens": 8})
    ids = tokenizer.encode("<|user|>Which?<|end|><|assistant|>The river")
    assert (
        status == 200
        and reply["choices"][0]["message"]["content"]
        == server.complete(prompt=ids, temperature=0, max_tokens=8)["choices"][0]["text"]
    )
    assert server.send("/tokenize", body)[1]["tokens"] == ids


def test_what_the_template_takes_beside_the_turns_reaches_it(server, tokenizer):
    body = {"model": "tied", "messages": [{"role": "user", "content": "Which?"}]}
    plain = server.send("/tokenize", body)[1]["tokens"]
    assert server.send("/tokenize", {**body, "chat_template_kwargs": {"unknown": 1}})[1]["tokens"] == plain
    thoughtful = {**body, "chat_template_kwargs": {"enable_thinking": False}}
    ids = tokenizer.encode("<|user|>Which?<|end|><|assistant|>no thought. ")
    assert server.send("/tokenize", thoughtful)[1]["tokens"] == ids
    status, reply = server.send("/v1/chat/completions", {**thoughtful, "temperature": 0, "max_tokens": 4})
    assert status == 200 and reply["usage"]["prompt_tokens"] == len(ids)
    for wrong in ({"tokenize": False}, {"messages": []}, ["enable_thinking"]):
        status, reply = server.send("/tokenize", {**body, "chat_template_kwargs": wrong})
        assert status == 400 and "variables of the chat template" in reply["error"]["message"]


def test_two_models_at_once_answer_each_as_itself(server, untied, tokenizer):
    ids = tokenizer.encode("The river of")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        texts = list(
            pool.map(
                lambda index: server.complete(
                    model=("tied", "untied")[index % 2], prompt=ids, temperature=0, max_tokens=10
                )["choices"][0]["text"],
                range(16),
            )
        )
    theirs = generated(AutoModelForCausalLM.from_pretrained(untied), ids, 10)
    assert texts[1] == tokenizer.decode(theirs, skip_special_tokens=True)
    assert set(texts[::2]) == {texts[0]} and set(texts[1::2]) == {texts[1]} and texts[0] != texts[1]
