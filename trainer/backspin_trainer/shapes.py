"""The shapes in which the kernels of this machine give each row of a batch the same bits, found by trial.

A matrix product adds in an order that depends on the number of rows, and with some kernels on the row's place too: with
MKL's kernels for AVX2 the last rows of 256 have other bits than the first, but not those of 240. So a batch is filled
up with spare rows to a number at which equal rows have equal bits, and the bits of every other such number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .exits import Exit, Refusal

# (kernel, number of rows, position of the last token, attention length) -> the results [rows, ...] of equal rows
Trial = Callable[[str, int, int, int], torch.Tensor]


@dataclass(frozen=True)
class Rows:
    """The numbers of rows in which a kernel may be used: multiples of `quantum`, and `most`."""

    quantum: int
    most: int

    def rounded(self, count: int) -> int:
        """The smallest such number that is at least `count`."""
        return min(-(-count // self.quantum) * self.quantum, self.most)


@dataclass(frozen=True)
class Shapes:
    """`decode` and `head` count rows, `prefill` chunks of prompts. Attention reads one of `attention_lengths` places of the cache."""

    decode: Rows
    prefill: Rows
    head: Rows
    attention_lengths: tuple[int, ...]


@torch.inference_mode()
def find_shapes(trial: Trial, slots: int, chunks: int, chunk: int, length: int) -> Shapes:
    """Shapes for `slots` answers and `chunks` chunks of `chunk` tokens at most, in a cache of `length` places.

    A longer attention only adds zeros to a sum, but a kernel may add in another order: then only `length` is used.
    """
    most = {
        "decode": _fewest_equal(trial, "decode", slots, 8, length),
        "prefill": _fewest_equal(trial, "prefill", chunks, 1, length),
        "head": _fewest_equal(trial, "head", max(slots, chunks, chunk), 8, length),
    }
    powers = (chunk << power for power in range(length.bit_length()))
    lengths = [shorter for shorter in powers if shorter < length and _is_as_good(trial, most, shorter, length)]
    lengths.append(length)

    def rows(kernel: str, smallest: int, lengths: list[int]) -> Rows:
        largest = most[kernel]
        wanted = [(at, _equal_row(trial, kernel, largest, at - 1, at)) for at in lengths]
        quantum = smallest
        while quantum < largest and not all(
            _same(_equal_row(trial, kernel, count, at - 1, at), row)
            for count in range(quantum, largest, quantum)
            for at, row in wanted
        ):
            quantum *= 2
        return Rows(min(quantum, largest), largest)

    return Shapes(rows("decode", 2, lengths), rows("prefill", 1, lengths), rows("head", 2, [length]), tuple(lengths))


def _equal_row(trial: Trial, kernel: str, rows: int, last: int, attention_length: int) -> torch.Tensor | None:
    """What all rows yield; None if they do not yield the same."""
    result = trial(kernel, rows, last, attention_length)
    return result[0] if bool((result == result[:1]).all()) else None


def _same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return one is not None and other is not None and torch.equal(one, other)


def _fewest_equal(trial: Trial, kernel: str, count: int, step: int, length: int) -> int:
    """The smallest number of rows from `count` on, a multiple of `step`, in which equal rows have equal bits."""

    first = -(-count // step) * step
    for rows in range(first, 2 * first + 64, step):
        if _equal_row(trial, kernel, rows, length - 1, length) is not None:
            return rows
    raise Refusal(
        Exit.MODEL,
        f"This machine's kernels give equal rows other bits in every batch of {first} to {2 * first + 64} rows "
        f"({kernel}), so replies would depend on each other: lower 'slots', or serve the model with vLLM.",
    )


def _is_as_good(trial: Trial, most: dict[str, int], shorter: int, length: int) -> bool:
    return all(
        _same(
            _equal_row(trial, kernel, most[kernel], shorter - 1, shorter),
            _equal_row(trial, kernel, most[kernel], shorter - 1, length),
        )
        for kernel in ("decode", "prefill")
    )
