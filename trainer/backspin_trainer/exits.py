"""The exit codes of the subprocess, and the exception that carries one."""

from __future__ import annotations

import contextlib
import enum


class Exit(enum.IntEnum):
    """Codes of sysexits.h where it has one. After NETWORK, WRITE and INTERRUPTED the same command can succeed.

    The supervisor also retries INTERNAL, a few times, and MEMORY with half the micro-batch.
    """

    DONE = 0
    SPEC = 64  # the spec file is wrong
    DATA = 65  # a training row is wrong
    MODEL = 66  # the input model is missing or unsuitable
    NETWORK = 68  # the Hub cannot be reached
    DEPENDENCY = 69  # a Python package is missing
    INTERNAL = 70  # a defect of this package
    MEMORY = 71  # out of memory: a smaller micro-batch may fit
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
        if is_out_of_memory(error):
            raise
        raise Refusal(
            Exit.WRITE, f"Cannot write {what}: {error}. Free space or fix permissions, then start again."
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocator had no memory left: PyTorch's on a CUDA device, or one of main memory."""
    is_main_memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    return type(error).__name__ == "OutOfMemoryError" or is_main_memory


def out_of_memory(error: Exception, remedy: str) -> Refusal:
    return Refusal(Exit.MEMORY, f"Out of memory: {first_line(error)}. {remedy}")


def first_line(error: Exception) -> str:
    """The first line of a library's error message, to use inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
