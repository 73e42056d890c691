"""The event file: JSON lines that a supervisor, or the successor of one, follows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .exits import writing


class Events:
    """Appends `{"v":1,"event":...}` lines to a file. A line is one write: a kill tears at most the last."""

    def __init__(self, path: Path):
        with writing(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if os.fstat(self._file).st_size and not path.read_bytes().endswith(b"\n"):
                os.write(self._file, b"\n")  # a predecessor was killed inside its last line
        self._path = path

    def say(self, event: str, **fields: Any) -> None:
        """Appends one event. Raises Refusal 73 when it cannot be written."""
        line = json.dumps(
            {"v": 1, "event": event, **fields}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        with writing(str(self._path)):
            os.write(self._file, line.encode() + b"\n")
