"""How a trainer is asked to stop: a file, or SIGTERM."""

from __future__ import annotations

import signal
from pathlib import Path


class Stop:
    """Made before anything slow is imported, so that a SIGTERM at any moment is heard. The handler only sets a flag."""

    def __init__(self) -> None:
        self._signalled = False
        self._file: Path | None = None
        signal.signal(signal.SIGTERM, self._on_signal)

    def watch(self, file: Path) -> None:
        """From now on the appearance of `file` is a request too."""
        self._file = file

    def requested(self) -> bool:
        return self._signalled or (self._file is not None and self._file.exists())

    def obeyed(self) -> None:
        """Removes the file: the next start of the same run is not to stop again."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _on_signal(self, *_: object) -> None:
        self._signalled = True
