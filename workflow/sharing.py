"""How much of a GPU a run asks for, where several runs share one. Loads no torch."""

from __future__ import annotations

import math
from collections.abc import Callable

from finegrid.records.training import Training
from finegrid.training.processes.devices import (
    CONTEXT_BYTES,
    PARTS,
    NoDeviceError,
    smallest_memory_bytes,
)

_HEADROOM = 1.25
"""What the allocator of a device holds, in what lives of it as predicted: blocks of other sizes
lie between, and operations take some for themselves."""


def gpu_parts(training: Training, attempt: int, needed: Callable[[], float]) -> int:
    """Parts of the GPUs of a node: all of each, or a share of one that grows with each attempt.

    `needed` is the share of a device's memory that the run takes. None on another device.
    """
    if training.device != "cuda":
        return 0
    if training.runs_per_device == 1:
        return PARTS * training.devices_per_node
    if training.runs_per_device == "auto":
        share = math.ceil(PARTS * needed())
    else:
        share = PARTS // training.runs_per_device
    return min(PARTS, attempt * share)


def memory_of_gpus() -> int | None:
    """The bytes of the smallest GPU of this machine; None where none is known."""
    try:
        return smallest_memory_bytes()
    except NoDeviceError:
        return None


def needed_share(peak_bytes: int | None, memory_bytes: int | None) -> float:
    """The share of a device that a process with that peak of tensors takes; all if not known."""
    if peak_bytes is None or memory_bytes is None:
        return 1.0
    return (CONTEXT_BYTES + _HEADROOM * peak_bytes) / memory_bytes
