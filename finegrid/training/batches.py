"""Which examples go together, in which order."""

from collections.abc import Sequence

import torch

_BUCKET_BATCHES = 16


def epoch_batches(
    lengths: Sequence[int], batch_size: int, generator: torch.Generator
) -> list[list[int]]:
    """One epoch's batches of indices, each example once, examples of like length together.

    The order is drawn from the generator; within each draw of 16 batches examples are sorted by
    length, which keeps padding small, and the batches are shuffled again. The plan depends on the
    lengths and the generator alone, so that every method sees the same batches. The last batch
    may be smaller.
    """
    order = torch.randperm(len(lengths), generator=generator).tolist()
    size = batch_size * _BUCKET_BATCHES
    buckets = [sorted(order[i : i + size], key=lengths.__getitem__) for i in _steps(order, size)]
    batches = [bucket[i : i + batch_size] for bucket in buckets for i in _steps(bucket, batch_size)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[i] for i in shuffled]


def evaluation_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """All indices, longest first, so that too large a batch shows itself at once."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    return [order[i : i + batch_size] for i in _steps(order, batch_size)]


def _steps(sequence: Sequence[int], size: int) -> range:
    return range(0, len(sequence), size)
