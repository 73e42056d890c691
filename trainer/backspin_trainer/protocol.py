"""Validates requests: the supported fields of OpenAI's API, and vLLM's where OpenAI has none. Others get status 400."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from transformers import PreTrainedTokenizerBase

from .engine import BatchScheduler, Job
from .markers import encode_text
from .sampling import Sampling
from .spec import ModelFolders
from .tokens import continuation_tokens, raw_prompt_tokens, template_tokens


@dataclass
class RequestError(Exception):
    """Refuses a request with `status`. `param` is the field that is wrong."""

    message: str
    param: str | None = None
    status: int = 400
    type: str = "BadRequestError"


@dataclass
class ServedModel:
    """A served model: its name, folders, scheduler and tokenizer."""

    name: str
    folders: ModelFolders
    scheduler: BatchScheduler
    tokenizer: PreTrainedTokenizerBase
    eos_token_ids: frozenset[int]

    def text(self, tokens: list[int], continues: bool = False) -> str:
        """The text of an answer. One that `continues` a text has the space at its beginning, which SentencePiece takes away
        from every text of its own."""
        if not continues:
            return self._decode(tokens)
        before = encode_text(self.tokenizer, ":", add_special_tokens=False)
        return self._decode(before + tokens).removeprefix(self._decode(before))

    def _decode(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@dataclass
class Generation:
    """A validated request: its prompt, and a job for each of its `n` answers."""

    model: ServedModel
    prompt: list[int]
    jobs: list[Job]
    stop: list[str] = field(default_factory=list)
    continues: bool = False  # a text, or a turn that its prompt begins
    token_ids_as_names: bool = False  # log-probabilities name a token `token_id:7` instead of its text


_Check = Callable[[Any], bool]


def _number(low: float, high: float, above: bool = False) -> _Check:
    return lambda value: type(value) in (int, float) and (low < value if above else low <= value) and value <= high


def _integer(low: int, high: int) -> _Check:
    return lambda value: type(value) is int and low <= value <= high


def _texts(value: Any) -> bool:
    items = [value] if isinstance(value, str) else value
    return isinstance(items, list) and len(items) <= 16 and all(isinstance(item, str) and item for item in items)


def _messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(
            isinstance(turn, dict)
            and set(turn) == {"role", "content"}
            and all(isinstance(part, str) for part in turn.values())
            for turn in value
        )
    )


def _ids(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(type(item) is int and item >= 0 for item in value)


# Parameters of apply_chat_template itself are no variables of a template.
_PARAMETERS = inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters
_RESERVED = {"messages", *_PARAMETERS} - {"tools", "documents"}


def _kwargs(value: Any) -> bool:
    return isinstance(value, dict) and not _RESERVED & set(value)


def _structured(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"choice"}
        and isinstance(value["choice"], list)
        and len(value["choice"]) > 0
        and all(isinstance(item, str) and item for item in value["choice"])
    )


def _flag(value: Any) -> bool:
    return type(value) is bool


def _name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


_Fields = dict[str, tuple[_Check, str]]
_MODEL: _Fields = {"model": (lambda value: isinstance(value, str), "a string")}
_SAMPLING: _Fields = {
    **_MODEL,
    "max_tokens": (_integer(0, 1 << 31), "an integer, 0 or more"),
    "temperature": (_number(0, 100), "a number from 0 to 100"),
    "top_p": (_number(0, 1, above=True), "a number above 0, at most 1"),
    "top_k": (_integer(-1, 1 << 31), "an integer; -1 or 0 means all tokens"),
    "min_p": (_number(0, 1), "a number from 0 to 1"),
    "repetition_penalty": (_number(0, 100, above=True), "a number above 0, at most 100"),
    "presence_penalty": (_number(-2, 2), "a number from -2 to 2"),
    "frequency_penalty": (_number(-2, 2), "a number from -2 to 2"),
    "n": (_integer(1, 128), "an integer from 1 to 128"),
    "seed": (_integer(-(1 << 63), (1 << 63) - 1), "a 64-bit integer"),
    "stop": (_texts, "a string or a list of up to 16 strings, none of them empty"),
    "stream": (lambda value: value is False, "false: this server does not stream"),
    "structured_outputs": (_structured, 'an object with "choice", a list of texts; this server has no other form'),
}
_PROMPT = (lambda value: isinstance(value, str) or _ids(value), "a string or a list of token ids, not empty")
_TURNS = (_messages, 'a list of {"role", "content"} with texts, not empty')
_TEMPLATE: _Fields = {
    "messages": _TURNS,
    "add_generation_prompt": (_flag, "true or false"),
    "continue_final_message": (_flag, "true or false"),
    "chat_template_kwargs": (
        _kwargs,
        "an object with variables of the chat template, such as enable_thinking",
    ),
}
CHAT: _Fields = {
    **_SAMPLING,
    **_TEMPLATE,
    "logprobs": (_flag, "true or false"),
    "top_logprobs": (_integer(0, 20), "an integer from 0 to 20"),
}
COMPLETION: _Fields = {
    **_SAMPLING,
    "prompt": _PROMPT,
    "logprobs": (_integer(0, 20), "an integer from 0 to 20"),
    "prompt_logprobs": (_integer(0, 20), "an integer from 0 to 20"),
    "return_tokens_as_token_ids": (_flag, "true or false"),
}
UNLOAD_ADAPTER: _Fields = {"lora_name": (_name, "a string, not empty")}
LOAD_ADAPTER: _Fields = {**UNLOAD_ADAPTER, "lora_path": (_name, "the path of a folder")}
TOKENIZE: _Fields = {
    **_MODEL,
    **_TEMPLATE,
    "prompt": (lambda value: isinstance(value, str), "a string"),
    "add_special_tokens": (_flag, "true or false"),
}


async def read_json(request: web.Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise RequestError(f"The request body is not JSON: {error}.") from error


def validate(body: Any, fields: _Fields) -> dict[str, Any]:
    """`body` without nulls. Raises RequestError for an unknown field or a value that `fields` does not allow."""
    if not isinstance(body, dict):
        raise RequestError("The request body must be a JSON object.")
    for name, value in body.items():
        if name not in fields:
            raise RequestError(f"The field '{name}' is not supported; leave it out.", name)
        if value is not None and not fields[name][0](value):
            raise RequestError(f"The field '{name}' must be {fields[name][1]}.", name)
    return {name: value for name, value in body.items() if value is not None}


def require(body: dict[str, Any], name: str) -> Any:
    """A field of a validated body. Raises RequestError if it is missing."""
    if name not in body:
        raise RequestError(f"The field '{name}' is missing.", name)
    return body[name]


def find_model(models: dict[str, ServedModel], body: dict[str, Any]) -> ServedModel:
    if require(body, "model") not in models:
        raise RequestError(
            f"The model '{body['model']}' does not exist; served are {', '.join(models)}.",
            "model",
            404,
            "NotFoundError",
        )
    return models[body["model"]]


def chat_tokens(model: ServedModel, body: dict[str, Any]) -> list[int]:
    """Tokens of `messages` under the chat template, with a generation prompt or with an open last message."""
    messages = require(body, "messages")
    opens, continues = body.get("add_generation_prompt", True), body.get("continue_final_message", False)
    if opens and continues:
        message = "With 'continue_final_message', 'add_generation_prompt' must be false."
        raise RequestError(message, "add_generation_prompt")
    if not model.tokenizer.chat_template:
        raise RequestError(f"The model '{model.name}' has no chat template; use /v1/completions.", "messages")
    try:
        return template_tokens(model.tokenizer, messages, opens, continues, body.get("chat_template_kwargs"))
    except ValueError as error:
        message = f"The chat template of '{model.name}' cannot render these messages: {error}."
        raise RequestError(message, "messages") from error


def prompt_tokens(model: ServedModel, body: dict[str, Any]) -> list[int]:
    """Tokens of `prompt`, which is a text or a list of token ids."""
    prompt = require(body, "prompt")
    if isinstance(prompt, str):
        if body.get("add_special_tokens", True):
            return raw_prompt_tokens(model.tokenizer, prompt)
        return encode_text(model.tokenizer, prompt, add_special_tokens=False)
    if max(prompt) >= model.scheduler.model.vocabulary:
        raise RequestError(f"Token {max(prompt)} is not in the vocabulary of '{model.name}'.", "prompt")
    return prompt


def make_generation(
    model: ServedModel, prompt: list[int], body: dict[str, Any], default: int | None, logprobs: int | None
) -> Generation:
    """The jobs of a validated body. Raises RequestError if prompt and answer exceed the context.

    `default` is the default of max_tokens; None means the rest of the context, but at least one token.
    """
    prompt_logprobs, context = body.get("prompt_logprobs"), model.scheduler.model.context
    remaining = context - len(prompt)
    max_tokens = body.get("max_tokens", max(remaining, 1) if default is None else default)
    if not prompt:
        raise RequestError("The prompt has no tokens.", "prompt")
    if max_tokens > remaining:
        has = f"The prompt has {len(prompt)} tokens and max_tokens is {max_tokens}"
        raise RequestError(f"{has}, together more than the model's context of {context}.", "max_tokens")
    if max_tokens == 0 and prompt_logprobs is None:
        raise RequestError("The field 'max_tokens' may be 0 only where 'prompt_logprobs' is asked.", "max_tokens")
    stop = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop", [])
    seed = body.get("seed", random.SystemRandom().getrandbits(63))
    sampling = Sampling(
        body.get("temperature", 1.0),
        body.get("top_p", 1.0),
        max(0, body.get("top_k", 0)),
        body.get("min_p", 0.0),
        body.get("repetition_penalty", 1.0),
        body.get("presence_penalty", 0.0),
        body.get("frequency_penalty", 0.0),
    )
    continues = "messages" not in body or body.get("continue_final_message", False)
    choices = _choices(model, body["structured_outputs"]["choice"], continues) if "structured_outputs" in body else None

    def job(index: int) -> Job:
        return Job(
            prompt=prompt,
            max_tokens=max_tokens,
            sampling=sampling,
            eos_token_ids=model.eos_token_ids,
            random=random.Random(f"{seed}/{index}"),
            choices=choices,
            stopped=(lambda tokens: any(text in model.text(tokens, continues) for text in stop)) if stop else None,
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
        )

    jobs = [job(index) for index in range(body.get("n", 1))]
    return Generation(model, prompt, jobs, stop, continues, body.get("return_tokens_as_token_ids", False))


def _choices(model: ServedModel, texts: list[str], continues: bool) -> list[list[int]]:
    """The tokens of each text after a prompt, with an EOS token. Raises RequestError for a text that they do not give."""
    choices = [continuation_tokens(model.tokenizer, text) for text in texts]
    for text, tokens in zip(texts, choices):
        if (made := model.text(tokens, continues)) != text:
            given = f"the tokenizer of '{model.name}' makes {made!r} of {text!r}"
            raise RequestError(f"The choice cannot be given: {given}.", "structured_outputs")
    return [[*tokens, model.tokenizer.eos_token_id] for tokens in choices]
