"""The `push` verb: uploads a folder to a repository of the Hugging Face Hub as one commit, and leaves out what is there already."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, HfApi

from .exits import Exit
from .hub import refusal_of

_CHUNK = 1 << 20


@dataclass(frozen=True)
class PushSpec:
    """A folder and the repository that gets its files. A repository that is not there is made, `private` or not."""

    version: Literal[1]
    kind: Literal["model", "dataset"]
    repository: str
    folder: str
    private: bool
    message: str
    revision: str = "main"


def push(spec: PushSpec) -> Exit:
    """Prints a JSON line on stdout for each file, `{"name", "sent"}`, then `{"url"}`.

    A large file is stored by its SHA-256 as soon as it has arrived, and one commit names all files in the end. So the
    repository is never half changed, and a push that was stopped uploads only the large files that have not arrived.
    Ends when its standard input does, since its parent has ended then. Raises Refusal.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints to stdout goes to stderr
    threading.Thread(target=_end_with_parent, daemon=True).start()
    api, repository = HfApi(), {"repo_id": spec.repository, "repo_type": spec.kind}
    try:
        url = api.create_repo(**repository, private=spec.private, exist_ok=True)
        present = {file.path: file for file in api.list_repo_tree(**repository, recursive=True) if hasattr(file, "blob_id")}
        additions: list[CommitOperationAdd] = []
        for name in _names(Path(spec.folder)):
            path = Path(spec.folder, name)
            sent = not _is_same(path, present.get(name))
            if sent:
                additions.append(CommitOperationAdd(path_in_repo=name, path_or_fileobj=path))
                api.preupload_lfs_files(**repository, additions=additions[-1:], free_memory=False)
            print(json.dumps({"name": name, "sent": sent}), file=out, flush=True)
        if additions:
            api.create_commit(**repository, operations=additions, commit_message=spec.message)
    except Exception as error:
        raise refusal_of(error, spec) or error from error
    print(json.dumps({"url": str(url)}), file=out, flush=True)
    return Exit.DONE


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(Exit.INTERRUPTED)


def _names(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(names)


def _is_same(path: Path, remote) -> bool:
    """Whether the Hub has these bytes: large files have a SHA-256 there, others the id of a Git blob."""
    size = path.stat().st_size
    if remote is None or remote.size != size:
        return False
    if remote.lfs is not None:
        return _digest(path, hashlib.sha256()) == remote.lfs.sha256
    return _digest(path, hashlib.sha1(f"blob {size}\0".encode())) == remote.blob_id


def _digest(path: Path, hashing) -> str:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            hashing.update(chunk)
    return hashing.hexdigest()
