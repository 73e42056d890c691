"""Atomic checkpoints: `step-N/` counts only if its COMPLETE.json, written last, has the sizes of all its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from .exits import writing
from .models import sync, sync_directory

_SEAL = "COMPLETE.json"


def newest(folder: Path, usable: Callable[[Path], bool] = lambda path: True) -> tuple[int, Path] | None:
    """Step and path of the newest complete checkpoint in `folder`. Removes incomplete ones, and those that are not `usable`."""
    complete = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if _is_complete(path) and usable(path):
            complete.append((_step(path), path))
        else:
            shutil.rmtree(path)
    return max(complete, default=None)


def save(folder: Path, step: int, keep: int, write: Callable[[Path], None], seal: bool = True) -> None:
    """Calls `write` with a new folder, seals it as the checkpoint of `step`, and removes all but the newest `keep`.

    Without `seal` it only writes: another process makes the folder and seals it.
    """
    partial, final = folder / f"step-{step}.partial", folder / f"step-{step}"
    if not seal:
        return write(partial)
    with writing(str(final)):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        (partial / _SEAL).write_text(json.dumps({"version": 1, "step": step, "files": _sizes(partial)}))
        sync(partial)
        partial.rename(final)
        sync_directory(folder)
        for old in sorted((path for path in folder.iterdir() if _is_complete(path)), key=_step)[:-keep]:
            shutil.rmtree(old)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _is_complete(path: Path) -> bool:
    try:
        seal = json.loads((path / _SEAL).read_text())
        return path.name == f"step-{seal['step']}" and seal["files"] == _sizes(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _SEAL
    }
