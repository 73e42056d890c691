"""What a child process says when it ends: one table of exit codes, and the exception that carries one."""

from __future__ import annotations

import contextlib
import enum


class Exit(enum.IntEnum):
    """Codes follow sysexits.h where it has one. Only WRITE and INTERRUPTED are worth the same command again."""

    DONE = 0
    SPEC = 64  # the spec file is wrong
    DATA = 65  # a training row is wrong
    MODEL = 66  # the input model is missing or unsuitable
    DEPENDENCY = 69  # a Python package is missing
    INTERNAL = 70  # a defect of this package
    WRITE = 73  # cannot write: permission, or the disk is full
    INTERRUPTED = 75  # stopped when asked, with a checkpoint to go on from
    DIVERGED = 76  # the loss or a weight is no longer finite


class Refusal(Exception):
    """An end with a meaning. The message is one sentence for who must act: what was wrong, where, what to do."""

    def __init__(self, code: Exit, message: str):
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def writing(what: str):
    """Turns any failure to write `what` into exit 73. torch and safetensors do not report a full disk as OSError."""
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(
            Exit.WRITE, f"Cannot write {what}: {error}. Free space or fix permissions, then start again."
        ) from error


def first_line(error: Exception) -> str:
    """What an error of a library says, as a part of a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
