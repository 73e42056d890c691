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

from . import __version__, protocol, replies
from .engine import BatchScheduler, Engine
from .exits import Exit, Refusal, writing
from .llama import Llama
from .protocol import Generation, RequestError, ServedModel, read_json
from .spec import ModelFolders, ServeSpec, read_models
from .tokens import read_tokenizer, tokenizer_folder, turn_ends
from .weights import check_vocabulary, read_weights


def serve(spec: ServeSpec) -> Exit:
    """Serves until SIGTERM. Raises Refusal for an unsupported model, a missing key, or a port that is taken."""
    key = os.environ.get("BACKSPIN_SERVE_KEY")
    if not key:
        sentence = "The environment variable BACKSPIN_SERVE_KEY is empty; set it to the key that requests must carry."
        raise Refusal(Exit.SPEC, sentence)
    asyncio.run(Server(spec, key, _open_all(spec.models, spec, {})).run())
    return Exit.DONE


_Models = dict[str, ServedModel]  # by served name


def _open_all(models: dict[str, ModelFolders], spec: ServeSpec, opened: _Models) -> _Models:
    """The models by name. Reuses those that are `opened` already. Raises Refusal 66."""
    with torch.inference_mode():
        return {name: opened.get(name) or _open(name, model, spec) for name, model in models.items()}


def _open(name: str, folders: ModelFolders, spec: ServeSpec) -> ServedModel:
    model = Llama(read_weights(folders), spec.slots, spec.threads, spec.max_model_length)
    folder, base = tokenizer_folder(folders), folders.base or folders.folder
    tokenizer = read_tokenizer(folder, base)
    check_vocabulary(tokenizer, folder, model.vocabulary)
    return ServedModel(name, folders, BatchScheduler(model), tokenizer, turn_ends(tokenizer))


class Server:
    """The HTTP server: an asyncio loop that never computes. The engine's thread runs the jobs and resolves futures."""

    def __init__(self, spec: ServeSpec, key: str, models: dict[str, ServedModel]):
        self._spec, self._models = spec, models
        self._authorization = f"Bearer {key}".encode()
        self._started = int(time.time())
        self._changing = asyncio.Lock()  # held while the set of served models changes
        self._statuses: collections.Counter[int] = collections.Counter()
        self._tokens: collections.Counter[str] = collections.Counter()
        with writing(str(spec.access_log)):
            # Line-buffered: the line is written before the reply is sent.
            self._log = open(spec.access_log, "a", buffering=1) if spec.access_log else None  # noqa: SIM115

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = Engine()
        stopped = asyncio.Event()
        self._loop.add_signal_handler(signal.SIGTERM, stopped.set)
        app = web.Application(middlewares=[self._handle], client_max_size=16 << 20)
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
        self._write_ready_file(runner.addresses[0][1])
        await stopped.wait()
        os._exit(Exit.DONE)  # the engine's thread may be inside torch, which cannot be interrupted

    def _write_ready_file(self, port: int) -> None:
        """Writes the ready file."""
        ready = {"port": port, "pid": os.getpid(), "engine": "embedded", "version": __version__, "dtype": "float32"}
        with writing(self._spec.ready):
            partial = Path(self._spec.ready + ".partial")
            partial.write_text(json.dumps(ready))
            partial.rename(self._spec.ready)

    @web.middleware
    async def _handle(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Checks the key, turns errors into vLLM's error object, counts and logs."""
        try:
            if request.path != "/health" and not hmac.compare_digest(
                request.headers.get("Authorization", "").encode(), self._authorization
            ):
                message = "The key in 'Authorization: Bearer' is missing or wrong."
                raise RequestError(message, None, 401, "AuthenticationError")
            response = await handler(request)
        except RequestError as refused:
            response = _error(refused)
        except web.HTTPException as error:
            response = _error(
                RequestError(f"{request.method} {request.path}: {error.reason}.", None, error.status, "BadRequestError")
            )
        except Exception:
            traceback.print_exc()
            response = _error(
                RequestError("The server failed on this request; its log says how.", None, 500, "InternalServerError")
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
        """The `parent` of an adapter is its base: by name if the base is served too, else by folder."""
        names = {model.folders.folder: name for name, model in self._models.items() if model.folders.base is None}

        def entry(model: ServedModel) -> dict[str, Any]:
            return {
                "id": model.name,
                "object": "model",
                "created": self._started,
                "owned_by": "backspin",
                "root": model.folders.folder,
                "parent": model.folders.base and names.get(model.folders.base, model.folders.base),
                "max_model_len": model.scheduler.model.context,
            }

        return web.json_response({"object": "list", "data": [entry(model) for model in self._models.values()]})

    async def _chat(self, request: web.Request) -> web.Response:
        body = protocol.validate(await read_json(request), protocol.CHAT)
        model = protocol.find_model(self._models, body)
        if "top_logprobs" in body and not body.get("logprobs"):
            raise RequestError("With 'top_logprobs', 'logprobs' must be true.", "top_logprobs")
        logprobs = body.get("top_logprobs", 0) if body.get("logprobs") else None
        generation = protocol.make_generation(model, protocol.chat_tokens(model, body), body, None, logprobs)
        return await self._answer(request, generation, replies.chat_reply)

    async def _complete(self, request: web.Request) -> web.Response:
        body = protocol.validate(await read_json(request), protocol.COMPLETION)
        model = protocol.find_model(self._models, body)
        prompt = protocol.prompt_tokens(model, body)
        generation = protocol.make_generation(model, prompt, body, 16, body.get("logprobs"))
        return await self._answer(request, generation, replies.completion_reply)

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = protocol.validate(await read_json(request), protocol.TOKENIZE)
        model = protocol.find_model(self._models, body)
        if ("prompt" in body) == ("messages" in body):
            raise RequestError("Exactly one of 'prompt' and 'messages' must be given.", "prompt")
        tokens = (protocol.chat_tokens if "messages" in body else protocol.prompt_tokens)(model, body)
        context = model.scheduler.model.context
        return web.json_response({"tokens": tokens, "count": len(tokens), "max_model_len": context})

    async def _load_adapter(self, request: web.Request) -> web.Response:
        """Serves one more adapter of the served base model, as in vLLM; `lora_path` is its folder."""
        body = protocol.validate(await read_json(request), protocol.LOAD_ADAPTER)
        name, folder = protocol.require(body, "lora_name"), protocol.require(body, "lora_path")
        async with self._changing:
            if name in self._models:
                raise RequestError(
                    f"The lora adapter '{name}' has already been loaded; a name stands for one adapter for ever."
                )
            bases = {model.folders.base or model.folders.folder for model in self._models.values()}
            if len(bases) != 1:
                raise RequestError(
                    f"An adapter goes upon the one base of a server, and this has {len(bases)}; use PUT /models."
                )
            await self._open({name: ModelFolders(folder, bases.pop())})
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload_adapter(self, request: web.Request) -> web.Response:
        """Stops serving an adapter, as in vLLM. Requests that have begun are still answered."""
        name = protocol.require(protocol.validate(await read_json(request), protocol.UNLOAD_ADAPTER), "lora_name")
        async with self._changing:
            if name not in self._models or self._models[name].folders.base is None:
                raise RequestError(f"The lora adapter '{name}' cannot be found.", "lora_name", 404, "NotFoundError")
            self._models = {other: model for other, model in self._models.items() if other != name}
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def _replace(self, request: web.Request) -> web.Response:
        """Replaces the served models by those in the body. A name stands for the same weights forever.

        So the supervisor can reuse a warm server for other models.
        """
        try:
            models = read_models(await read_json(request))
        except Refusal as refusal:
            raise RequestError(str(refusal)) from refusal
        if not models:
            raise RequestError("The request body names no model; give at least one.")
        async with self._changing:
            self._models = {name: model for name, model in self._models.items() if name in models}  # frees all others
            await self._open(models)
        return await self._list(request)

    async def _open(self, models: dict[str, ModelFolders]) -> None:
        """Serves more models."""
        try:
            opened = await asyncio.to_thread(_open_all, models, self._spec, self._models)
        except Refusal as refusal:
            raise RequestError(str(refusal)) from refusal
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
        schedulers = [model.scheduler for model in self._models.values()]
        for name, count in (
            ("running", sum(scheduler.running for scheduler in schedulers)),
            ("waiting", sum(len(scheduler.waiting) for scheduler in schedulers)),
        ):
            lines += [f"# TYPE vllm:num_requests_{name} gauge", f"vllm:num_requests_{name} {count}"]
        return web.Response(text="\n".join(lines) + "\n")

    async def _answer(
        self, request: web.Request, generation: Generation, reply: Callable[[Generation], dict[str, Any]]
    ) -> web.Response:
        """Runs all jobs of a request. Cancels them if the client disconnects."""
        futures = []
        for job in generation.jobs:
            futures.append(self._loop.create_future())
            job.done = functools.partial(self._loop.call_soon_threadsafe, _resolve, futures[-1])
            self._engine.submit(generation.model.scheduler, job)
        try:
            await asyncio.gather(*futures)
        except asyncio.CancelledError:
            for job in generation.jobs:
                job.cancelled = True
            raise
        if any(job.finish == "error" for job in generation.jobs):
            message = "The model gave numbers that are not finite; it has diverged."
            raise RequestError(message, None, 500, "InternalServerError")
        usage = request["usage"] = replies.usage(generation)
        self._tokens["prompt"] += usage["prompt_tokens"]
        self._tokens["generation"] += usage["completion_tokens"]
        return web.json_response(reply(generation))


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _error(error: RequestError) -> web.Response:
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.status}
    return web.json_response({"error": body}, status=error.status)
