"""What tasks share: deterministic order, splits that share nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from finegrid.records.prepared import SplitName

if TYPE_CHECKING:
    import pandas as pd


def order_key(identifier: str, seed: int) -> str:
    """A pseudo-random sort key: the same on every machine and with every library version."""
    return hashlib.sha256(f"{seed}:{identifier}".encode()).hexdigest()


def shuffled(frame: pd.DataFrame, seed: int, group: str = "id") -> pd.DataFrame:
    """The rows in pseudo-random order, those of a group one after the other.

    `frame` has the columns `id` and `group`; the order depends on these two and the seed alone.
    """
    keys = frame.assign(
        _group=[order_key(value, seed) for value in frame[group]],
        _row=[order_key(value, seed) for value in frame["id"]],
    )
    return frame.loc[keys.sort_values(["_group", "_row"]).index]


def interleaved(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows reordered so that every prefix holds each value of a column equally often.

    Row k of each value comes before row k + 1 of any, otherwise the order stays.
    """
    return frame.loc[frame.groupby(column).cumcount().sort_values(kind="stable").index]


def carve(
    frame: pd.DataFrame, sizes: Mapping[SplitName, int | None], group: str = "id"
) -> dict[SplitName, pd.DataFrame]:
    """Consecutive rows as splits, in the order of `sizes`; None takes all that is left.

    No group is in two splits: where a split ends inside a group, the group's other rows are left
    out. Give the test split first, so that it stays the same when the others change in size.
    Raises ValueError with split, size and what is available.
    """
    splits: dict[SplitName, pd.DataFrame] = {}
    rest = frame
    for name, size in sizes.items():
        if (size or 1) > len(rest):
            raise ValueError(
                f"{name}: {size or 1} examples asked for, {len(rest)} available of {len(frame)}"
                + (f" after {', '.join(splits)}" if splits else "")
            )
        splits[name] = rest.iloc[:size].reset_index(drop=True)
        rest = rest[~rest[group].isin(splits[name][group])]
    return splits


def grouped(groups: Sequence[str], seed: int) -> list[int]:
    """Rows in pseudo-random order, those of a group one after the other, by their numbers."""
    keys = {group: order_key(group, seed) for group in set(groups)}
    return sorted(range(len(groups)), key=lambda row: (keys[groups[row]], row))


def proportional(labels: Sequence[str], seed: int) -> list[int]:
    """Rows in pseudo-random order with each label in proportion in every beginning."""
    strata: dict[str, list[int]] = {}
    for row in sorted(range(len(labels)), key=lambda row: order_key(str(row), seed)):
        strata.setdefault(labels[row], []).append(row)
    ties = {label: order_key(label, seed) for label in strata}
    placed = [
        ((rank + 0.5) / len(rows), ties[label], row)
        for label, rows in strata.items()
        for rank, row in enumerate(rows)
    ]
    return [row for *_, row in sorted(placed)]


def divided(
    order: Sequence[int], shares: Mapping[SplitName, float], groups: Sequence[str] | None = None
) -> list[SplitName]:
    """The split of each row: consecutive shares of the rows in that order, the rest to train.

    A group that a share ends in goes to it whole. Raises ValueError for a split without rows.
    """
    parts: list[SplitName] = ["train"] * len(order)
    start = 0
    for name, share in shares.items():
        end = start + round(share * len(order))
        while groups and start < end < len(order) and groups[order[end - 1]] == groups[order[end]]:
            end += 1
        if end == start or start >= len(order):
            raise ValueError(f"{name}: a share of {share:g} of {len(order)} rows is none")
        for row in order[start:end]:
            parts[row] = name
        start = end
    if start >= len(order):
        raise ValueError(f"nothing is left to train on of {len(order)} rows")
    return parts
