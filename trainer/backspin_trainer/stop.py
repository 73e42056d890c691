"""Stop requests: a file, or SIGTERM."""

from __future__ import annotations

import signal
from pathlib import Path


class Stop:
    """Create it before slow imports, so that no SIGTERM is lost. The handler only sets a flag."""

    def __init__(self) -> None:
        self._signalled = False
        self._file: Path | None = None
        signal.signal(signal.SIGTERM, self._on_signal)

    def watch(self, file: Path) -> None:
        """From now on `file` is a stop request too, once it exists."""
        self._file = file

    def requested(self) -> bool:
        return self._signalled or (self._file is not None and self._file.exists())

    def clear(self) -> None:
        """Removes the file, so that the next start of the run does not stop again."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _on_signal(self, *_: object) -> None:
        self._signalled = True
