"""Which examples go together, in which order."""

from collections.abc import Sequence

import torch

from finegrid.records.training import Training, largest_share

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


def micro_batches(
    batch: Sequence[int], sizes: Sequence[int], training: Training
) -> list[list[int]]:
    """The batch in its order, cut into what one backward pass takes of it.

    By `micro_batch_units` each part grows while its examples times the largest of them stay within
    that bound; an example above it is a part of its own.
    """
    if training.micro_batch_units is None:
        size = training.micro_batch_size or len(batch)
        return [list(batch[i : i + size]) for i in _steps(batch, size)]
    parts: list[list[int]] = []
    largest = 0
    for index in batch:
        largest = max(largest, sizes[index])
        if not parts or (len(parts[-1]) + 1) * largest > training.micro_batch_units:
            parts.append([])
            largest = sizes[index]
        parts[-1].append(index)
    return parts


def most_units(sizes: Sequence[int], training: Training) -> list[int]:
    """The largest share of a micro-batch that a device has: what memory is measured with.

    It is that of the largest examples; by `micro_batch_units` the one with most units, padding
    counted, of equals that with the largest examples.
    """
    if training.micro_batch_units is None:
        largest = max(sizes, default=1)
        return evaluation_batches(sizes, largest_share(training, largest))[0]
    batches = evaluation_batches(sizes, training.batch_size)
    shares = [
        part[:: training.devices]
        for batch in batches
        for part in micro_batches(batch, sizes, training)
    ]
    return max(shares, key=lambda share: (len(share) * sizes[share[0]], sizes[share[0]]))


def _steps(sequence: Sequence[int], size: int) -> range:
    return range(0, len(sequence), size)
