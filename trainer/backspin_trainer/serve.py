"""The `serve` verb: an OpenAI-compatible server of small Llamas; a reply depends on its request and seed alone."""

from __future__ import annotations

import asyncio
import collections
import functools
import hmac
import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from transformers import GenerationConfig

from . import __version__, protocol, replies
from .engine import Engine, Lane
from .exits import Exit, Refusal, writing
from .llama import Llama
from .protocol import Asked, Bad, Served
from .spec import ModelFolders, ServeSpec, read_models
from .tokens import read_tokenizer, tokenizer_folder
from .weights import read_weights


def serve(spec: ServeSpec) -> Exit:
    """Serves until SIGTERM. Raises Refusal for a model that it cannot serve, a missing key, or a port that is taken."""
    key = os.environ.get("BACKSPIN_SERVE_KEY")
    if not key:
        raise Refusal(
            Exit.SPEC,
            "The environment variable BACKSPIN_SERVE_KEY is empty; set it to the key that requests must carry.",
        )
    asyncio.run(Server(spec, key, _open_all(spec.models, spec, {})).run())
    return Exit.DONE


def _open_all(models: dict[str, ModelFolders], spec: ServeSpec, opened: dict[str, Served]) -> dict[str, Served]:
    """The models under their names; those that are `opened` as they are. Raises Refusal 66."""
    with torch.inference_mode():
        return {name: opened.get(name) or _open(name, model, spec) for name, model in models.items()}


def _open(name: str, at: ModelFolders, spec: ServeSpec) -> Served:
    model = Llama(read_weights(at), spec.slots, spec.threads)
    folder, whole = tokenizer_folder(at), at.base or at.folder
    tokenizer = read_tokenizer(folder)
    if len(tokenizer) > model.vocabulary:
        raise Refusal(
            Exit.MODEL,
            f"The tokenizer in {folder} has {len(tokenizer)} tokens, its model {model.vocabulary}; use its own.",
        )
    ends = {tokenizer.eos_token_id}
    if (Path(whole) / "generation_config.json").is_file():
        listed = GenerationConfig.from_pretrained(whole).eos_token_id
        ends |= set(listed if isinstance(listed, list) else [listed] if listed is not None else [])
    return Served(name, at, Lane(model, spec.slots), tokenizer, frozenset(ends))


class Server:
    """The HTTP side: one asyncio loop that never computes; jobs go to the engine's thread and come back as futures."""

    def __init__(self, spec: ServeSpec, key: str, models: dict[str, Served]):
        self._spec, self._models = spec, models
        self._authorization = f"Bearer {key}".encode()
        self._started = int(time.time())
        self._changing = asyncio.Lock()  # held while it is decided what is served
        self._statuses: collections.Counter[int] = collections.Counter()
        self._tokens: collections.Counter[str] = collections.Counter()
        with writing(str(spec.access_log)):
            # Line-buffered: a line is on its way to the disk before its reply is on its way to the client.
            self._log = open(spec.access_log, "a", buffering=1) if spec.access_log else None  # noqa: SIM115

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = Engine()
        stopped = asyncio.Event()
        self._loop.add_signal_handler(signal.SIGTERM, stopped.set)
        app = web.Application(middlewares=[self._around], client_max_size=16 << 20)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.get("/v1/models", self._list),
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/completions", self._complete),
                web.post("/tokenize", self._tokenize),
                web.post("/v1/load_lora_adapter", self._load_adapter),
                web.post("/v1/unload_lora_adapter", self._unload_adapter),
                web.put("/models", self._replace),
            ]
        )
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._spec.host, self._spec.port)
            await site.start()
        except OSError as error:
            raise Refusal(
                Exit.SPEC,
                f"Cannot listen at {self._spec.host}:{self._spec.port}: {error.strerror}. Set another host or port.",
            ) from error
        self._announce(runner.addresses[0][1])
        await stopped.wait()
        os._exit(Exit.DONE)  # the engine's thread may be inside torch, which does not end when asked

    def _announce(self, port: int) -> None:
        """Writes the ready file."""
        ready = {"port": port, "pid": os.getpid(), "engine": "embedded", "version": __version__, "dtype": "float32"}
        with writing(self._spec.ready):
            partial = Path(self._spec.ready + ".partial")
            partial.write_text(json.dumps(ready))
            partial.rename(self._spec.ready)

    @web.middleware
    async def _around(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Asks for the key, turns refusals into vLLM's error object, counts and logs."""
        try:
            if request.path != "/health" and not hmac.compare_digest(
                request.headers.get("Authorization", "").encode(), self._authorization
            ):
                raise Bad("The key in 'Authorization: Bearer' is missing or wrong.", None, 401, "AuthenticationError")
            response = await handler(request)
        except Bad as bad:
            response = _error(bad)
        except web.HTTPException as error:
            response = _error(
                Bad(f"{request.method} {request.path}: {error.reason}.", None, error.status, "BadRequestError")
            )
        except Exception:
            traceback.print_exc()
            response = _error(
                Bad("The server failed on this request; its log says how.", None, 500, "InternalServerError")
            )
        self._statuses[response.status] += 1
        if self._log and request.method == "POST":
            counts = request.get("usage", {})
            line = {"id": request.headers.get("X-Request-Id"), "path": request.path, "status": response.status}
            line |= {name: counts.get(name, 0) for name in ("prompt_tokens", "completion_tokens")}
            self._log.write(json.dumps(line) + "\n")
        return response

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _list(self, _: web.Request) -> web.Response:
        """The parent of an adapter is its base, by name where that is served too."""
        names = {model.at.folder: name for name, model in self._models.items() if model.at.base is None}

        def entry(model: Served) -> dict[str, Any]:
            return {
                "id": model.name,
                "object": "model",
                "created": self._started,
                "owned_by": "backspin",
                "root": model.at.folder,
                "parent": model.at.base and names.get(model.at.base, model.at.base),
                "max_model_len": model.lane.model.context,
            }

        return web.json_response({"object": "list", "data": [entry(model) for model in self._models.values()]})

    async def _chat(self, request: web.Request) -> web.Response:
        body = protocol.checked(await _json(request), protocol.CHAT)
        model = protocol.find(self._models, body)
        if "top_logprobs" in body and not body.get("logprobs"):
            raise Bad("With 'top_logprobs', 'logprobs' must be true.", "top_logprobs")
        logprobs = body.get("top_logprobs", 0) if body.get("logprobs") else None
        asked = protocol.ask(model, protocol.chat_tokens(model, body), body, None, logprobs)
        return await self._answer(request, asked, replies.chat_reply)

    async def _complete(self, request: web.Request) -> web.Response:
        body = protocol.checked(await _json(request), protocol.COMPLETION)
        model = protocol.find(self._models, body)
        asked = protocol.ask(model, protocol.prompt_tokens(model, body), body, 16, body.get("logprobs"))
        return await self._answer(request, asked, replies.completion_reply)

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = protocol.checked(await _json(request), protocol.TOKENIZE)
        model = protocol.find(self._models, body)
        if ("prompt" in body) == ("messages" in body):
            raise Bad("Exactly one of 'prompt' and 'messages' must be given.", "prompt")
        tokens = (protocol.chat_tokens if "messages" in body else protocol.prompt_tokens)(model, body)
        return web.json_response({"tokens": tokens, "count": len(tokens), "max_model_len": model.lane.model.context})

    async def _load_adapter(self, request: web.Request) -> web.Response:
        """Serves one more adapter, upon the base that is served here; `lora_path` is its folder. As in vLLM."""
        body = protocol.checked(await _json(request), protocol.LOAD_ADAPTER)
        name, folder = protocol.needed(body, "lora_name"), protocol.needed(body, "lora_path")
        async with self._changing:
            if name in self._models:
                raise Bad(f"The lora adapter '{name}' has already been loaded; a name stands for one adapter for ever.")
            bases = {model.at.base or model.at.folder for model in self._models.values()}
            if len(bases) != 1:
                raise Bad(f"An adapter goes upon the one base of a server, and this has {len(bases)}; use PUT /models.")
            await self._open({name: ModelFolders(folder, bases.pop())})
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_adapter(self, request: web.Request) -> web.Response:
        """Serves an adapter no more. Requests that it has already are answered. As in vLLM."""
        name = protocol.needed(protocol.checked(await _json(request), protocol.UNLOAD_ADAPTER), "lora_name")
        async with self._changing:
            if name not in self._models or self._models[name].at.base is None:
                raise Bad(f"The lora adapter '{name}' cannot be found.", "lora_name", 404, "NotFoundError")
            self._models = {other: model for other, model in self._models.items() if other != name}
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def _replace(self, request: web.Request) -> web.Response:
        """Serves other models from now on, as in the spec. A name stands for the same weights for ever.

        For a supervisor that has another use for a server that nobody uses.
        """
        try:
            models = read_models(await _json(request))
        except Refusal as refusal:
            raise Bad(str(refusal)) from refusal
        if not models:
            raise Bad("The request body names no model; give at least one.")
        async with self._changing:
            self._models = {name: model for name, model in self._models.items() if name in models}  # frees the others
            await self._open(models)
        return await self._list(request)

    async def _open(self, models: dict[str, ModelFolders]) -> None:
        """Serves these too."""
        try:
            opened = await asyncio.to_thread(_open_all, models, self._spec, self._models)
        except Refusal as refusal:
            raise Bad(str(refusal)) from refusal
        self._models = {**self._models, **opened}

    async def _metrics(self, _: web.Request) -> web.Response:
        lines = ["# TYPE http_requests_total counter"]
        lines += [
            f'http_requests_total{{status="{status}"}} {count}' for status, count in sorted(self._statuses.items())
        ]
        lines += [
            line
            for name in ("prompt", "generation")
            for line in (f"# TYPE vllm:{name}_tokens_total counter", f"vllm:{name}_tokens_total {self._tokens[name]}")
        ]
        lanes = [model.lane for model in self._models.values()]
        for name, count in (
            ("running", sum(lane.running for lane in lanes)),
            ("waiting", sum(len(lane.waiting) for lane in lanes)),
        ):
            lines += [f"# TYPE vllm:num_requests_{name} gauge", f"vllm:num_requests_{name} {count}"]
        return web.Response(text="\n".join(lines) + "\n")

    async def _answer(
        self, request: web.Request, asked: Asked, reply: Callable[[Asked], dict[str, Any]]
    ) -> web.Response:
        """Has the engine do all jobs of a request. A client that goes away takes its jobs with it."""
        futures = []
        for job in asked.jobs:
            futures.append(self._loop.create_future())
            job.done = functools.partial(self._loop.call_soon_threadsafe, _resolve, futures[-1])
            self._engine.submit(asked.model.lane, job)
        try:
            await asyncio.gather(*futures)
        except asyncio.CancelledError:
            for job in asked.jobs:
                job.cancelled = True
            raise
        if any(job.finish == "error" for job in asked.jobs):
            raise Bad("The model gave numbers that are not finite; it has diverged.", None, 500, "InternalServerError")
        request["usage"] = replies.usage(asked)
        self._tokens["prompt"] += request["usage"]["prompt_tokens"]
        self._tokens["generation"] += request["usage"]["completion_tokens"]
        return web.json_response(reply(asked))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except ValueError as error:
        raise Bad(f"The request body is not JSON: {error}.") from error


def _error(bad: Bad) -> web.Response:
    error = {"message": bad.message, "type": bad.type, "param": bad.param, "code": bad.status}
    return web.json_response({"error": error}, status=bad.status)
