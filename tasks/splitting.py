"""What tasks share: deterministic order, splits that share nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from finegrid.records.prepared import SPLITS, SplitName

if TYPE_CHECKING:
    import pandas as pd

_Row = TypeVar("_Row")


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


def held_out(
    official: pd.DataFrame, validation: int, train: int | None, seed: int, group: str = "id"
) -> dict[SplitName, pd.DataFrame]:
    """Rows of an official training split to validate on, and `train` of the others to train on.

    Both are in pseudo-random order and share no group; None takes all others. Raises ValueError as
    `carve` does.
    """
    sizes: dict[SplitName, int | None] = {"validation": validation, "train": train}
    return carve(shuffled(official, seed, group), sizes, group)


def grouped(groups: Sequence[str], seed: int) -> list[int]:
    """Rows in pseudo-random order, those of a group one after the other, by their numbers."""
    import numpy as np

    rank = _ranks(groups, seed)
    ranks = np.fromiter((rank[group] for group in groups), np.int64, len(groups))
    found: list[int] = np.argsort(ranks, kind="stable").tolist()
    return found


def proportional(labels: Sequence[str], seed: int) -> list[int]:
    """Rows in pseudo-random order with each label in proportion in every beginning."""
    import numpy as np

    keys = (order_key(str(row), seed).encode() for row in range(len(labels)))
    shuffled_rows = np.argsort(np.fromiter(keys, "S64", len(labels)))
    ties = _ranks(labels, seed)
    stratum = np.fromiter((ties[label] for label in labels), np.int64, len(labels))
    sizes = np.bincount(stratum, minlength=len(ties))
    by_stratum = shuffled_rows[np.argsort(stratum[shuffled_rows], kind="stable")]
    place = np.empty(len(labels))
    place[by_stratum] = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes])
    found: list[int] = np.lexsort((stratum, place)).tolist()
    return found


def _ranks(values: Iterable[str], seed: int) -> dict[str, int]:
    """Each distinct value with its place in pseudo-random order."""
    order = sorted(set(values), key=lambda value: order_key(value, seed))
    return {value: place for place, value in enumerate(order)}


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


def by_split(
    rows: Sequence[_Row],
    order: Sequence[int],
    shares: Mapping[SplitName, float],
    groups: Sequence[str] | None = None,
) -> dict[SplitName, list[_Row]]:
    """The rows of every split, in their own order, as `divided` divides them."""
    parts = divided(order, shares, groups)
    return {
        name: [row for row, part in zip(rows, parts, strict=True) if part == name]
        for name in SPLITS
    }
