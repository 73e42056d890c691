from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
import world
from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.llama import CHUNK, Llama
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config

KEY = "test-key"
LONG = "Vexing quick wizards jump by zephyrs; my fox, glad, barks on."  # few of its letters merge into longer tokens


class Client:
    """What a user of the server does: requests with a key, one or many at once."""

    def __init__(self, ready: dict[str, Any], log: Path):
        self.base, self.log = f"http://127.0.0.1:{ready['port']}", log

    def send(self, path: str, body: Any = None, key: str | None = KEY, **headers: str) -> tuple[int, Any]:
        if key:
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.base + path, data, headers), timeout=60) as response:
                text = response.read()
                return response.status, json.loads(text) if response.headers.get_content_type() == "application/json" else text.decode()
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def complete(self, **body: Any) -> dict[str, Any]:
        status, reply = self.send("/v1/completions", {"model": "tied", **body})
        assert status == 200, reply
        return reply

    def chat(self, content: str, **body: Any) -> dict[str, Any]:
        status, reply = self.send("/v1/chat/completions", {"model": "tied", "messages": [{"role": "user", "content": content}], **body})
        assert status == 200, reply
        return reply

    def refusal(self, path: str, body: Any, **options: Any) -> tuple[int, str | None, str]:
        status, reply = self.send(path, body, **options)
        return status, reply["error"]["param"], reply["error"]["message"]


def start(folder: Path, models: dict[str, Path], **spec: Any) -> tuple[Any, Client]:
    ready = folder / "ready.json"
    spec = {"version": 1, "models": {name: str(path) for name, path in models.items()}, "ready": str(ready), "accessLog": str(folder / "access.jsonl"), **spec}
    process = world.start("serve", spec, folder / "serve.json", BACKSPIN_SERVE_KEY=KEY)
    world.wait_for(process, ready.exists)
    return process, Client(json.loads(ready.read_text()), folder / "access.jsonl")


@pytest.fixture(scope="module")
def untied(tmp_path_factory) -> Path:
    return world.make_model(tmp_path_factory.mktemp("model") / "untied", seed=1, tied=False, kv_heads=4, rope_parameters={"rope_type": "default", "rope_theta": 500.0}, rms_norm_eps=1e-3)


@pytest.fixture(scope="module")
def server(tmp_path_factory, model, untied):
    process, client = start(tmp_path_factory.mktemp("serve"), {"tied": model, "untied": untied}, threads=2)
    yield client
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def network(model):
    return AutoModelForCausalLM.from_pretrained(model).eval()


@pytest.fixture(scope="module")
def tokenizer(model):
    return AutoTokenizer.from_pretrained(model)


def generated(network, ids: list[int], count: int, **options: Any) -> list[int]:
    with torch.no_grad():
        return network.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=count, do_sample=False, **options)[0, len(ids) :].tolist()


@pytest.mark.parametrize("which", ["model", "untied"])
def test_its_own_forward_pass_equals_transformers_to_1e_4(request, which):
    folder = request.getfixturevalue(which)
    ids = torch.randint(3, 300, (1, 70))
    with torch.inference_mode():
        theirs = AutoModelForCausalLM.from_pretrained(folder)(ids).logits[0]
        llama = Llama(str(folder), 8)
        starts = range(0, 64, CHUNK)
        hidden = [llama.prefill(ids[:, start : start + CHUNK], torch.tensor([start]), torch.tensor([3]))[0] for start in starts]
        ours = [llama.head(torch.cat(hidden))]
        for place in range(64, 70):
            tokens, positions = torch.zeros(8, dtype=torch.long), torch.zeros(8, dtype=torch.long)
            tokens[3], positions[3] = ids[0, place], place
            ours.append(llama.decode(tokens, positions)[3:4])
    torch.testing.assert_close(torch.cat(ours), theirs, atol=1e-4, rtol=1e-4)


def test_a_greedy_chat_equals_transformers_in_tokens_and_log_probabilities(server, network, tokenizer):
    reply = server.chat("Which river?", temperature=0, max_tokens=20, logprobs=True, top_logprobs=2)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "Which river?"}], add_generation_prompt=True, return_dict=False)
    tokens = generated(network, ids, 20)
    (choice,) = reply["choices"]
    assert choice["message"] == {"role": "assistant", "content": tokenizer.decode(tokens, skip_special_tokens=True)}
    assert reply["usage"] == {"prompt_tokens": len(ids), "completion_tokens": len(tokens), "total_tokens": len(ids) + len(tokens)}
    with torch.no_grad():
        weights = network(torch.tensor([ids + tokens])).logits[0].log_softmax(-1)[len(ids) - 1 : -1]
    content = choice["logprobs"]["content"]
    assert [entry["logprob"] for entry in content] == pytest.approx([float(row[token]) for row, token in zip(weights, tokens)], abs=1e-4)
    assert [entry["top_logprobs"][1]["logprob"] for entry in content] == pytest.approx([float(row.topk(2)[0][1]) for row in weights], abs=1e-4)
    assert choice["finish_reason"] == ("stop" if tokens[-1] == 1 else "length")


def test_prompt_log_probabilities_equal_transformers_over_several_chunks(server, network, tokenizer):
    ids = tokenizer.encode(LONG)
    assert len(ids) > CHUNK
    reply = server.complete(prompt=ids, max_tokens=0, prompt_logprobs=1)
    first, *scored = reply["choices"][0]["prompt_logprobs"]
    with torch.no_grad():
        weights = network(torch.tensor([ids])).logits[0].log_softmax(-1)
    assert first is None and len(scored) == len(ids) - 1
    assert [entry[str(token)]["logprob"] for entry, token in zip(scored, ids[1:])] == pytest.approx([float(row[token]) for row, token in zip(weights, ids[1:])], abs=1e-4)
    for entry, token, row in zip(scored, ids[1:], weights):
        assert entry[str(token)]["rank"] == int((row > row[token]).sum()) + 1
        assert str(int(row.argmax())) in entry
    assert reply["choices"][0]["text"] == "" and reply["usage"]["completion_tokens"] == 0


def test_a_repetition_penalty_equals_transformers(server, network, tokenizer):
    ids = tokenizer.encode("The river of")
    theirs = generated(network, ids, 12, repetition_penalty=1.5)
    assert server.complete(prompt=ids, temperature=0, max_tokens=12, repetition_penalty=1.5)["choices"][0]["text"] == tokenizer.decode(theirs, skip_special_tokens=True)


def test_a_reply_is_the_same_bit_for_bit_alone_and_among_others_of_any_length(server):
    asked = [
        {"prompt": LONG[: 5 + 4 * (index % 13)], "max_tokens": 4 + index % 17, "seed": index, "logprobs": 3, "prompt_logprobs": 0, **settings}
        for index, settings in enumerate([{"temperature": 0.9}, {"temperature": 1.5, "top_p": 0.8}, {"temperature": 1.2, "top_k": 7}, {"temperature": 0}, {"repetition_penalty": 1.3}] * 13)
    ]
    with concurrent.futures.ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda body: server.complete(**body)["choices"], asked))
    again = list(reversed([server.complete(**body)["choices"] for body in reversed(asked)]))
    assert len(asked) > 64 and together == again


def test_a_seed_repeats_its_answers_and_each_of_n_is_another(server):
    def texts(**body: Any) -> list[str]:
        return [choice["text"] for choice in server.complete(prompt="The", max_tokens=12, temperature=1.5, **body)["choices"]]

    four = texts(seed=5, n=4)
    assert four == texts(seed=5, n=4) and four[:2] == texts(seed=5, n=2)
    assert len(set(four)) == 4 and texts(seed=6) != four[:1]
    assert texts() != texts()


def test_top_k_of_one_and_a_tiny_top_p_are_greedy(server):
    greedy = server.complete(prompt=LONG, max_tokens=10, temperature=0)["choices"][0]["text"]
    assert server.complete(prompt=LONG, max_tokens=10, temperature=2, top_k=1)["choices"][0]["text"] == greedy
    assert server.complete(prompt=LONG, max_tokens=10, temperature=2, top_p=1e-9)["choices"][0]["text"] == greedy


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
    assert status == 200 and reply["choices"][0]["message"]["content"] == server.complete(prompt=ids, temperature=0, max_tokens=8)["choices"][0]["text"]
    assert server.send("/tokenize", body)[1]["tokens"] == ids


def test_tokenize_gives_what_a_request_would_be_charged_for(server, tokenizer):
    assert server.send("/tokenize", {"model": "tied", "prompt": LONG})[1] == {"tokens": tokenizer.encode(LONG), "count": len(tokenizer.encode(LONG)), "max_model_len": 96}
    messages = [{"role": "user", "content": "Which?"}]
    counted = server.send("/tokenize", {"model": "tied", "messages": messages})[1]["count"]
    assert counted == server.chat("Which?", max_tokens=1)["usage"]["prompt_tokens"]


def test_two_models_at_once_answer_each_as_itself(server, untied, tokenizer):
    ids = tokenizer.encode("The river of")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda index: server.complete(model=("tied", "untied")[index % 2], prompt=ids, temperature=0, max_tokens=10)["choices"][0]["text"], range(16)))
    theirs = generated(AutoModelForCausalLM.from_pretrained(untied), ids, 10)
    assert texts[1] == tokenizer.decode(theirs, skip_special_tokens=True)
    assert set(texts[::2]) == {texts[0]} and set(texts[1::2]) == {texts[1]} and texts[0] != texts[1]


GOOD = {"model": "tied", "prompt": "The", "max_tokens": 2}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"echo": True}, "echo"),
        ({"presence_penalty": 0.0}, "presence_penalty"),
        ({"stream": True}, "stream"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 96}, "max_tokens"),
        ({"n": True}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": [1]}, "stop"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [300]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "zq" * 60}, "max_tokens"),
    ],
)
def test_a_field_that_is_unknown_or_wrong_is_refused_by_name_and_never_ignored(server, changes, param):
    status, named, message = server.refusal("/v1/completions", {**GOOD, **changes})
    assert (status, named) == (400, param) and message.endswith(".")


def test_a_body_that_is_no_object_of_json_is_refused(server):
    assert server.refusal("/v1/completions", b"{")[0] == 400
    assert server.refusal("/v1/completions", [1])[0] == 400


def test_a_prompt_that_fills_the_context_can_be_scored_but_not_continued(server):
    whole = {"prompt": [10] * 96, "prompt_logprobs": 0}
    assert len(server.complete(**whole, max_tokens=0)["choices"][0]["prompt_logprobs"]) == 96
    assert server.refusal("/v1/completions", {"model": "tied", **whole, "max_tokens": 1})[0] == 400
    assert server.complete(prompt=[10] * 90, max_tokens=6, temperature=0)["usage"]["total_tokens"] <= 96


def test_an_unknown_model_is_404_and_a_wrong_key_401_except_for_health(server):
    assert server.refusal("/v1/completions", {**GOOD, "model": "other"})[:2] == (404, "model")
    assert server.refusal("/v1/nothing", GOOD)[0] == 404
    for key in (None, "other"):
        assert server.refusal("/v1/completions", GOOD, key=key)[0] == 401
        assert server.refusal("/v1/models", None, key=key)[0] == 401
    assert server.send("/health", key=None)[0] == 200
    assert [entry["id"] for entry in server.send("/v1/models")[1]["data"]] == ["tied", "untied"]


def test_every_finished_request_is_one_line_of_the_access_log_and_counts_in_the_metrics(server):
    def counted() -> dict[str, float]:
        lines = server.send("/metrics")[1].splitlines()
        return {name: float(count) for name, count in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}

    before = counted()
    server.send("/v1/completions", GOOD, **{"X-Request-Id": "log-me"})
    server.send("/v1/completions", {**GOOD, "echo": 1}, **{"X-Request-Id": "log-me"})
    lines = [line for line in map(json.loads, server.log.read_text().splitlines()) if line["id"] == "log-me"]
    assert [line["status"] for line in lines] == [200, 400] and lines[0]["path"] == "/v1/completions"
    after = counted()
    assert after["vllm:prompt_tokens_total"] - before["vllm:prompt_tokens_total"] == lines[0]["prompt_tokens"] == 1
    assert after["vllm:generation_tokens_total"] - before["vllm:generation_tokens_total"] == lines[0]["completion_tokens"] > 0
    assert after['http_requests_total{status="400"}'] == before.get('http_requests_total{status="400"}', 0) + 1


def test_sigterm_ends_the_server_with_0_within_a_second_whatever_is_running(tmp_path, model):
    process, client = start(tmp_path, {"tied": model}, threads=1)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        busy = [pool.submit(client.complete, prompt="The", n=128, max_tokens=80, temperature=2) for _ in range(8)]
        world.wait_for(process, lambda: "vllm:num_requests_running 64" in client.send("/metrics")[1])
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == Exit.DONE and time.monotonic() - asked < 1
        assert all(future.exception() is not None for future in busy)


def test_a_client_that_goes_away_takes_its_requests_with_it(server):
    body = json.dumps({"model": "tied", "prompt": "The", "n": 128, "max_tokens": 90, "temperature": 3}).encode()
    request = urllib.request.Request(server.base + "/v1/completions", body, {"Authorization": f"Bearer {KEY}"})
    before = server.send("/metrics")[1]
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(request, timeout=0.05)
    deadline = time.monotonic() + 5
    while "vllm:num_requests_running 0\n" not in (after := server.send("/metrics")[1]):
        assert time.monotonic() < deadline

    def answered(text: str) -> str:
        return next(line for line in text.splitlines() if line.startswith("vllm:generation_tokens_total"))

    assert answered(before) == answered(after)


def test_another_architecture_is_refused_with_66_and_what_to_do(tmp_path):
    world.make_tokenizer(tmp_path / "gpt2")
    GPT2Config(n_layer=1, n_embd=8, n_head=1).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(Refusal) as error:
        Llama(str(tmp_path / "gpt2"), 8)
    assert error.value.code == Exit.MODEL and "is a 'gpt2'" in str(error.value) and "vLLM" in str(error.value)


def test_a_cache_larger_than_memory_is_refused_with_what_to_lower(model):
    with pytest.raises(Refusal) as error:
        Llama(str(model), 1 << 30)
    assert error.value.code == Exit.MODEL and "lower 'slots'" in str(error.value)


def test_a_server_without_a_key_does_not_start(tmp_path, model):
    spec = {"version": 1, "models": {"tied": str(model)}, "ready": str(tmp_path / "ready.json")}
    process = world.start("serve", spec, tmp_path / "serve.json", BACKSPIN_SERVE_KEY="")
    assert process.wait() == Exit.SPEC and not os.path.exists(spec["ready"])
