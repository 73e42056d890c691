from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import time
import urllib.request

import pytest
import world
from client import KEY, start
from transformers import GPT2Config

from backspin_trainer.exits import Exit, Refusal
from backspin_trainer.llama import Llama
from backspin_trainer.spec import ModelFolders
from backspin_trainer.weights import read_weights

LONG = "Vexing quick wizards jump by zephyrs; my fox, glad, barks on."  # few of its letters merge into longer tokens


def test_tokenize_gives_what_a_request_would_be_charged_for(server, tokenizer):
    assert server.send("/tokenize", {"model": "tied", "prompt": LONG})[1] == {
        "tokens": tokenizer.encode(LONG),
        "count": len(tokenizer.encode(LONG)),
        "max_model_len": 96,
    }
    messages = [{"role": "user", "content": "Which?"}]
    counted = server.send("/tokenize", {"model": "tied", "messages": messages})[1]["count"]
    assert counted == server.chat("Which?", max_tokens=1)["usage"]["prompt_tokens"]


GOOD = {"model": "tied", "prompt": "The", "max_tokens": 2}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"echo": True}, "echo"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"min_p": 1.5}, "min_p"),
        ({"logit_bias": {}}, "logit_bias"),
        ({"structured_outputs": {"json": {}}}, "structured_outputs"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs"),
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
        return {
            name: float(count) for name, count in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        }

    before = counted()
    server.send("/v1/completions", GOOD, **{"X-Request-Id": "log-me"})
    server.send("/v1/completions", {**GOOD, "echo": 1}, **{"X-Request-Id": "log-me"})
    lines = [line for line in map(json.loads, server.log.read_text().splitlines()) if line["id"] == "log-me"]
    assert [line["status"] for line in lines] == [200, 400] and lines[0]["path"] == "/v1/completions"
    after = counted()
    assert after["vllm:prompt_tokens_total"] - before["vllm:prompt_tokens_total"] == lines[0]["prompt_tokens"] == 1
    assert (
        after["vllm:generation_tokens_total"] - before["vllm:generation_tokens_total"]
        == lines[0]["completion_tokens"]
        > 0
    )
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
        read_weights(ModelFolders(str(tmp_path / "gpt2")))
    assert error.value.code == Exit.MODEL and "is a 'gpt2'" in str(error.value) and "vLLM" in str(error.value)


def test_as_many_sequences_run_at_once_as_half_of_the_memory_holds(model, monkeypatch, capfd):
    weights = read_weights(ModelFolders(str(model)))
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if name == "SC_PAGE_SIZE" else 9 << 20)
    llama = Llama(weights, 1 << 10, 2)
    assert 1 <= llama.slots < 1 << 10
    assert f"{llama.slots} sequences at once in place of 1024" in capfd.readouterr().err
    assert llama.slots < Llama(weights, 1 << 10, 2, 32).slots


def test_a_cache_of_one_sequence_larger_than_memory_is_refused_with_what_to_lower(model, monkeypatch):
    weights = read_weights(ModelFolders(str(model)))
    monkeypatch.setattr(os, "sysconf", lambda _: 1)
    with pytest.raises(Refusal) as error:
        Llama(weights, 4, 2)
    assert error.value.code == Exit.MODEL and "maxModelLength" in str(error.value)


def test_a_server_without_a_key_does_not_start(tmp_path, model):
    spec = {"version": 1, "models": {"tied": str(model)}, "ready": str(tmp_path / "ready.json")}
    process = world.start("serve", spec, tmp_path / "serve.json", BACKSPIN_SERVE_KEY="")
    assert process.wait() == Exit.SPEC and not os.path.exists(spec["ready"])
