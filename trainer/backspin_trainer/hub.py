"""The `hub` verb: looks up a repository of the Hugging Face Hub, or downloads files of it to the Hub's cache."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from huggingface_hub import (
    constants,
    get_cached_repo_tree,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    resolve_revision,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers

from .exits import Exit, Refusal, first_line
from .spec import HubSpec

_WORKERS = 4  # files that are downloaded at once
_RESUMABLE = 1 << 20  # bytes from which on a partial file is worth keeping
_REPORT_EVERY = 1.0  # seconds
constants.DOWNLOAD_CHUNK_SIZE = 1 << 20  # a connection that breaks loses a chunk

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN (for `backspin up` too)"


def hub(spec: HubSpec) -> Exit:
    """Prints JSON lines on stdout: `{"bytes", "of"}` during a download, then `{"commit", "folder"}`, with `files` after a look-up.

    Ends when its standard input does, since its parent has ended then. Raises Refusal.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints to stdout goes to stderr
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        repository = _Repository(spec)
        if spec.files is None:
            found = repository.look_up()
        else:
            found = repository.download(spec.files, lambda progress: print(json.dumps(progress), file=out, flush=True))
    except Exception as error:
        raise refusal_of(error, spec) or error from error
    print(json.dumps(found), file=out, flush=True)
    return Exit.DONE


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(Exit.INTERRUPTED)


class _Repository:
    def __init__(self, spec: HubSpec) -> None:
        self._spec = spec
        self._id = {"repo_id": spec.repository, "repo_type": spec.kind}
        self._cache = Path(constants.HF_HUB_CACHE) / repo_folder_name(**self._id)
        self._partial: dict[str, Path] = {}  # name -> where it is being written
        self._listed = True  # whether all files of the repository are known, or only those in the cache

    def look_up(self) -> dict:
        """The commit of the revision, the folder of its files in the cache, and names and sizes of all its files."""
        commit = resolve_revision(**self._id, revision=self._spec.revision).resolved
        sizes = self._tree(commit)
        self._fetch([name for name in sizes if re.search(self._spec.small, name)], commit, sizes)
        files = [{"name": name, "bytes": size} for name, size in sorted(sizes.items())]
        return {"commit": commit, "folder": str(self._snapshot(commit)), "files": files, "listed": self._listed}

    def download(self, names: list[str], report) -> dict:
        """Downloads files at the commit `revision`, and resumes those that an earlier download began."""
        commit = self._spec.revision
        sizes = self._tree(commit)
        done = threading.Event()

        def report_regularly() -> None:
            while not done.wait(_REPORT_EVERY):
                report({"bytes": self._present(names, commit), "of": sum(sizes.get(name, 0) for name in names)})

        reporter = threading.Thread(target=report_regularly, daemon=True)
        reporter.start()
        try:
            self._fetch(names, commit, sizes)
        finally:
            done.set()
            reporter.join()
        return {"commit": commit, "folder": str(self._snapshot(commit))}

    def _snapshot(self, commit: str) -> Path:
        return self._cache / "snapshots" / commit

    def _tree(self, commit: str) -> dict[str, int]:
        """Sizes of all files by name."""
        for fetch in (lambda: None, lambda: snapshot_download(**self._id, revision=commit, allow_patterns=[])):
            try:
                fetch()
                return {file.path: file.size for file in get_cached_repo_tree(**self._id, revision=commit)}
            except CachedRepoTreeNotFoundError:
                continue
            except Exception:
                # Not every program leaves a listing in the cache. Without a network, what it downloaded has to do.
                folder = self._snapshot(commit)
                if not folder.is_dir():
                    raise
                self._listed = False
                files = [path for path in folder.rglob("*") if path.is_file()]
                return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
        raise AssertionError("snapshot_download keeps a listing")

    def _fetch(self, names: list[str], commit: str, sizes: dict[str, int]) -> None:
        with ThreadPoolExecutor(_WORKERS) as pool:
            try:
                for _ in pool.map(lambda name: self._file(name, commit, sizes.get(name, 0)), names):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _file(self, name: str, commit: str, size: int) -> None:
        if self._cached(name, commit):
            return
        if _RESUMABLE <= size <= constants.MAX_HTTP_DOWNLOAD_SIZE and not constants.HF_HUB_OFFLINE:
            self._complete(name, commit)
        hf_hub_download(**self._id, filename=name, revision=commit)  # makes the link, or downloads a small file

    def _cached(self, name: str, commit: str) -> Path | None:
        path = try_to_load_from_cache(**self._id, filename=name, revision=commit)
        return Path(path) if isinstance(path, str) else None

    def _complete(self, name: str, commit: str) -> None:
        """Downloads a file to its place in the cache, from where a killed download ended, unlike hf_hub_download."""
        url = hf_hub_url(**self._id, filename=name, revision=commit)
        metadata = get_hf_file_metadata(url, retry_on_errors=True)
        blob = self._cache / "blobs" / metadata.etag
        partial = self._partial[name] = blob.with_name(f"{blob.name}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another process may download it
            if not blob.exists():
                http_get(
                    url, file, resume_size=file.tell(), headers=build_hf_headers(), expected_size=metadata.size
                )
                file.flush()
                os.replace(partial, blob)
            elif partial.exists():
                partial.unlink()

    def _present(self, names: list[str], commit: str) -> int:
        def size(name: str) -> int:
            partial = self._partial.get(name)
            return _size(self._cached(name, commit)) or _size(partial) or _size(partial and partial.with_suffix(""))

        return sum(size(name) for name in names)


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except OSError:
        return 0


def refusal_of(error: Exception, spec) -> Refusal | None:
    """The sentence about a failure; None for a defect."""
    what, endpoint = f"the {spec.kind} {spec.repository}", constants.ENDPOINT
    page = f"{endpoint}/{'datasets/' if spec.kind == 'dataset' else ''}{spec.repository}"
    for cause in _causes(error):
        if isinstance(cause, HFValidationError):
            return Refusal(Exit.MODEL, f"'{spec.repository}' cannot be on the Hub: a name is owner/name.")
        if isinstance(cause, GatedRepoError):
            return Refusal(Exit.MODEL, f"Access to {what} is restricted: ask for it at {page}, then {_LOGIN}.")
        if isinstance(cause, RevisionNotFoundError):
            sentence = f"{what} has no revision {spec.revision}: give a branch, a tag or a commit; {page} lists them."
            return Refusal(Exit.MODEL, _capital(sentence))
        if isinstance(cause, RepositoryNotFoundError):
            sentence = f"There is no {spec.kind} {spec.repository} at {endpoint} that is open to you: check its name."
            return Refusal(Exit.MODEL, f"{sentence} If it is private, {_LOGIN}.")
        if isinstance(cause, HfHubHTTPError):
            return _refusal_of_status(cause.response.status_code, what, endpoint)
        if isinstance(cause, httpx.TransportError):
            return _unreachable(endpoint, first_line(cause))
        if isinstance(cause, RecursionError):  # http_get calls itself each time that a connection breaks
            return _unreachable(endpoint, "the connection breaks again and again")
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            sentence = f"The disk of the Hub's cache ({constants.HF_HUB_CACHE}) is full: free some space."
            return Refusal(Exit.WRITE, sentence)
        if isinstance(cause, PermissionError):
            sentence = f"Cannot write the Hub's cache: {first_line(cause)}. Set HF_HOME to another folder."
            return Refusal(Exit.MODEL, sentence)
    if constants.HF_HUB_OFFLINE and isinstance(error, (EntryNotFoundError, RevisionResolutionError, ConnectionError)):
        place = f"in the Hub's cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE is set"
        return Refusal(Exit.MODEL, f"{_capital(what)} at {spec.revision} is not whole {place}: unset it once.")
    if isinstance(error, (EntryNotFoundError, RevisionResolutionError, OSError)):
        return _unreachable(endpoint, first_line(error))
    return None


def _refusal_of_status(status: int, what: str, endpoint: str) -> Refusal:
    if status == 401:
        return Refusal(Exit.MODEL, f"{endpoint} does not accept your token for {what} (401): {_LOGIN}.")
    if status == 403:
        sentence = f"{endpoint} refuses {what} to your token (403): give it the right to read (to push, to write), or {_LOGIN}."
        return Refusal(Exit.MODEL, sentence)
    if status in (408, 425, 429) or status >= 500:
        return _unreachable(endpoint, f"it answers {status}")
    return Refusal(Exit.MODEL, f"{endpoint} answers {status} for {what}: check its name and HF_ENDPOINT.")


def _unreachable(endpoint: str, why: str) -> Refusal:
    return Refusal(Exit.NETWORK, f"The Hub at {endpoint} cannot be reached ({why}): check the network and HF_ENDPOINT.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
