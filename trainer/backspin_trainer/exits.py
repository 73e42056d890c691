"""The exit codes of the subprocess, and the exception that carries one."""

from __future__ import annotations

import contextlib
import enum


class Exit(enum.IntEnum):
    """Codes of sysexits.h where it has one. After NETWORK, WRITE and INTERRUPTED the same command can succeed.

    The supervisor also retries INTERNAL, a few times.
    """

    DONE = 0
    SPEC = 64  # the spec file is wrong
    DATA = 65  # a training row is wrong
    MODEL = 66  # the input model is missing or unsuitable
    NETWORK = 68  # the Hub cannot be reached
    DEPENDENCY = 69  # a Python package is missing
    INTERNAL = 70  # a defect of this package
    WRITE = 73  # cannot write: permission, or the disk is full
    INTERRUPTED = 75  # stopped on request, with a checkpoint to resume from
    DIVERGED = 76  # the loss or a weight is no longer finite


class Refusal(Exception):
    """An end with an exit code. The message says in one sentence what is wrong, where, and what to do."""

    def __init__(self, code: Exit, message: str):
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def writing(what: str):
    """Raises Refusal 73 for any error inside: torch and safetensors do not report a full disk as OSError."""
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(
            Exit.WRITE, f"Cannot write {what}: {error}. Free space or fix permissions, then start again."
        ) from error


def first_line(error: Exception) -> str:
    """The first line of a library's error message, to use inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
