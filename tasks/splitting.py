"""What tasks share: deterministic order, splits that share nothing, equality of texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from records.prepared import SplitName

if TYPE_CHECKING:
    import pandas as pd

_WORDS = re.compile(r"[^\W_]+")


def normalised(text: str) -> str:
    """The text's words in folded case with single spaces: equal for texts that read the same."""
    return " ".join(_WORDS.findall(text.casefold()))


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
