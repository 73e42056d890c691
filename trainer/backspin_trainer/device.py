"""What a subprocess computes on, and how precisely."""

from __future__ import annotations

import ctypes
import os
import resource

import torch

from .exits import Exit, Refusal


def check_devices() -> None:
    """Raises Refusal 69 if the process was given CUDA devices and PyTorch does not find them: it must not compute on the
    CPU without a word."""
    given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip() not in ("", "-1")]
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < len(given):
        raise Refusal(
            Exit.DEPENDENCY,
            f"The device group has {len(given)} CUDA devices, and PyTorch {torch.__version__} (built for CUDA "
            f"{torch.version.cuda}) finds {found}: install a driver that is new enough for it, look whether nvidia-smi "
            "shows the devices, or name a pool without devices.",
        )


def computes_in_bf16() -> bool:
    """Whether trainings run under bf16 autocast, and hold the frozen base of an adapter in bf16: on CUDA devices that can."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported()


def recomputes_activations() -> bool:
    """Whether the backward pass of trainings computes activations again (gradient checkpointing): on CUDA devices."""
    return torch.cuda.is_available()


def return_freed_memory() -> None:
    """Has the C library return large freed tensors to the system. By default glibc keeps those below 32 MB, in holes of a heap
    that activations of other sizes do not fill: a fifth of the peak of a training. Does nothing with another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


_M_MMAP_THRESHOLD = -3  # of malloc.h


def peak_memory() -> int:
    """The most bytes that this process has held: on its CUDA device, or else of main memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
