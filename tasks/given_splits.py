"""Splits that a column of the data names, such as folds."""

from __future__ import annotations

from collections.abc import Sequence

from finegrid.records.prepared import SplitName
from tasks.file_labels import listed_labels
from tasks.file_options import HeldOut
from tasks.table_files import TableError


def by_value(values: Sequence[str], split: HeldOut) -> list[SplitName | None]:
    """The split of each row by its value of `split.column`; None for a row that is in none.

    Where no value is named for training, all that are left are of it. Raises TableError for a
    value that no row has.
    """
    named = split.by_value
    known = {one: part for part, several in named.items() for one in several}
    has = sorted(set(values))
    for one, part in known.items():
        if one not in has:
            problem = f"no row of column {split.column!r} has {one!r}"
            key = ("split", "values", part)
            raise TableError(key, f"{problem}; allowed: {listed_labels(has)}")
    rest: SplitName | None = None if "train" in named else "train"
    return [known.get(value, rest) for value in values]


def check_groups(rows: Sequence[tuple[SplitName, str]]) -> None:
    """Refuse a group of which there are rows in two splits. Raises TableError.

    A row without a group is alone.
    """
    first: dict[str, SplitName] = {}
    twice: dict[str, SplitName] = {}
    for part, group in rows:
        if group and first.setdefault(group, part) != part:
            twice.setdefault(group, part)
    if twice:
        group, part = next(iter(twice.items()))
        more = f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
        problem = f"{group!r} is in {first[group]} and in {part}{more}"
        raise TableError(("split", "group"), f"{problem}; allowed: each group in one split")
