"""The event file: JSON lines, which the supervisor tails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .exits import writing


class Events:
    """Appends `{"v":1,"event":...}` lines to a file. Each line is one write, so a kill tears at most the last line."""

    def __init__(self, path: Path):
        with writing(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if os.fstat(self._file).st_size and not path.read_bytes().endswith(b"\n"):
                os.write(self._file, b"\n")  # a kill tore the last line
        self._path = path

    def emit(self, event: str, **fields: Any) -> None:
        """Appends one event. Raises Refusal 73 if it cannot write."""
        line = json.dumps(
            {"v": 1, "event": event, **fields}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        with writing(str(self._path)):
            os.write(self._file, line.encode() + b"\n")
