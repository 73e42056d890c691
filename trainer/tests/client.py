"""A client of the server under test."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import world

KEY = "test-key"


class Client:
    """What a user of the server does: requests with a key, one or many at once."""

    def __init__(self, ready: dict[str, Any], log: Path):
        self.base, self.log = f"http://127.0.0.1:{ready['port']}", log

    def send(
        self, path: str, body: Any = None, key: str | None = KEY, method: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        if key:
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.base + path, data, headers, method=method), timeout=60
            ) as response:
                text = response.read()
                return response.status, json.loads(
                    text
                ) if response.headers.get_content_type() == "application/json" else text.decode()
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def complete(self, **body: Any) -> dict[str, Any]:
        status, reply = self.send("/v1/completions", {"model": "tied", **body})
        assert status == 200, reply
        return reply

    def chat(self, content: str, **body: Any) -> dict[str, Any]:
        status, reply = self.send(
            "/v1/chat/completions", {"model": "tied", "messages": [{"role": "user", "content": content}], **body}
        )
        assert status == 200, reply
        return reply

    def refusal(self, path: str, body: Any, **options: Any) -> tuple[int, str | None, str]:
        status, reply = self.send(path, body, **options)
        return status, reply["error"]["param"], reply["error"]["message"]


def whole(folder: Path) -> dict[str, str | None]:
    return {"folder": str(folder), "base": None}


def start(folder: Path, models: dict[str, Path | dict], **spec: Any) -> tuple[subprocess.Popen, Client]:
    """A server of these folders; a dict is a model of the spec as it stands."""
    ready = folder / "ready.json"
    spec = {
        "version": 1,
        "models": {name: at if isinstance(at, dict) else whole(at) for name, at in models.items()},
        "ready": str(ready),
        "accessLog": str(folder / "access.jsonl"),
        **spec,
    }
    process = world.start("serve", spec, folder / "serve.json", BACKSPIN_SERVE_KEY=KEY)
    world.wait_for(process, ready.exists)
    return process, Client(json.loads(ready.read_text()), folder / "access.jsonl")
