"""Randomness of a run: one seed, three independent streams."""

import hashlib
from typing import Literal

import torch

Stream = Literal["initialisation", "order", "dropout"]
STREAMS: tuple[Stream, ...] = ("initialisation", "order", "dropout")


def derive(seed: int, stream: Stream, rank: int = 0) -> int:
    """The stream's own seed, a 63-bit hash of the run's seed and the stream's name.

    Of several processes of a run, each but the first hashes its rank as well.
    """
    name = f"{seed}/{stream}/{rank}" if rank else f"{seed}/{stream}"
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, stream: Stream) -> torch.Generator:
    """A CPU generator of that stream: the same draws on every device."""
    return torch.Generator().manual_seed(derive(seed, stream))


def seed_global(seed: int, stream: Stream, rank: int = 0) -> None:
    """Seed torch's global generators, which dropout and the libraries' initialisers draw from."""
    torch.manual_seed(derive(seed, stream, rank))


def make_deterministic(threads: int, device: str) -> bool:
    """Fix the number of threads and ask torch for deterministic algorithms.

    Returns whether every algorithm is deterministic: on CUDA some have no such form, and a warning
    is all that torch can give.
    """
    torch.set_num_threads(threads)
    strict = device == "cpu"
    torch.use_deterministic_algorithms(mode=True, warn_only=not strict)
    return strict
