"""Several examples in one row, so that training pads less: which go together, and their rows."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from finegrid.training.data import Examples
from finegrid.training.encoding import encoded_rows
from kinds.contract import Kind

_ROWS = 1 << 10
"""Rows that are written at a time."""


def packed(
    kind: Kind, encoded: Iterable[pa.RecordBatch], capacity: int
) -> Iterator[pa.RecordBatch]:
    """Encoded examples in rows of at most so many units, each named after its first example."""
    examples = Examples(kind, pa.Table.from_batches(list(encoded)))
    groups, ids = best_fit(examples.sizes, capacity), examples.table["id"].to_pylist()
    for start in range(0, len(groups), _ROWS):
        some = groups[start : start + _ROWS]
        inputs = [kind.inputs.joined([examples.inputs[at] for at in group]) for group in some]
        targets = [kind.output.joined([examples.targets[at] for at in group]) for group in some]
        yield encoded_rows(kind, [ids[group[0]] for group in some], inputs, targets)


def best_fit(sizes: Sequence[int], capacity: int) -> list[list[int]]:
    """The indices of sizes in groups of at most `capacity` together, each size once.

    The largest come first, each into the group that it fills most (best-fit decreasing; Johnson
    1973, Near-optimal bin packing algorithms). Equal sizes stay in their order.
    """
    groups: list[list[int]] = []
    room: list[tuple[int, int]] = []  # what is left in a group, and its number, ascending
    for index in sorted(range(len(sizes)), key=lambda at: -sizes[at]):
        at = bisect_left(room, (sizes[index], 0))
        if at == len(room):
            groups.append([])
            left, number = capacity, len(groups) - 1
        else:
            left, number = room.pop(at)
        groups[number].append(index)
        insort(room, (left - sizes[index], number))
    return groups
