"""What is blank or wrong in the rows of a user's own file, told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import Any

from kinds.contract import Composed
from tasks.table_files import TableError, Wanted

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SHOWN = 5
_ALLOWED = {"label": "one label a row"}
"""What a column has to hold, where that is no text."""
_NUMBERS = (
    "numbers, with a point; or format.decimal and format.thousands that say how they are written"
)
_FEATURES = (
    "; or features.missing: mean, which fills blanks, with format.missing for what stands for one; "
    "or features.categories of words"
)
_DIVIDING = {"group": "group", "split": "column"}
"""What is read to divide rows, and the key of `split` that names its column."""


@dataclass
class Checks:
    """Collects the rows of a file that are blank, or not of the kind."""

    path: Path
    wanted: Wanted
    numbers: frozenset[str]
    """What has to hold numbers."""
    further: frozenset[str] = frozenset()
    """What may be blank."""
    files: tuple[str, ...] = ()
    """What has to hold files."""
    composed: Mapping[str, Composed] = field(default_factory=dict)
    """Columns that others are made of."""
    lacking: frozenset[str] = frozenset()
    """The numbers that may be missing."""
    lists: set[str] = field(default_factory=set)
    """What holds lists in some rows, where a text is asked for and a list could be."""
    rows: int = 0
    bad: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """By column: the numbers and the places of rows."""

    def note(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Look at the values of some rows."""
        for key in self.wanted:
            is_number = key in self.numbers
            if key in self.further:
                continue
            for at, value in enumerate(columns[key]):
                if not value and key in self.lacking:
                    continue
                if not value or value.isspace() or (is_number and not _is_number(value)):
                    bad = self.bad.setdefault(key, [])
                    bad.append((self.rows + at, columns["place"][at]))
        self.rows += len(columns["place"])

    def finish(self) -> None:
        """Raise TableError for the rows that are bad, of the column in which the first one is."""
        if not self.bad:
            return
        key = min((one for one in self.wanted if one in self.bad), key=lambda one: self.bad[one][0])
        numbers = key in self.numbers
        text = self.composed[key].allowed if key in self.composed else _ALLOWED.get(key, "text")
        allowed = _NUMBERS if numbers else text
        if numbers and "[" in key:
            allowed += _FEATURES
        if key in self.files:
            allowed = "the bytes of a file, as the datasets library keeps them in parquet"
        elif key in self.lists:
            allowed = "one text a row; or references: list, which says that a row has a list"
        elif key not in _DIVIDING and not numbers:
            allowed += f'; or drop: {{{key}: [""]}}, which leaves blank rows out'
        where = f"{self.path.name}, column {self.wanted[key]!r}"
        at = ("split", _DIVIDING[key]) if key in _DIVIDING else ("columns", key)
        places = listed([place for _, place in self.bad[key]])
        raise TableError(at, f"{where}: blank or wrong in {places}; allowed: {allowed}")


def number(text: str) -> float:
    """The number; not one where a check is about to say so."""
    return float(text) if _is_number(text) else nan


def _is_number(label: str) -> bool:
    return bool(_NUMBER.fullmatch(label.strip())) and isfinite(float(label))


def listed(places: Sequence[str]) -> str:
    """The first few places, and how many there are: `line 3, line 5 (2 in all)`."""
    more = ", ..." if len(places) > _SHOWN else ""
    return f"{', '.join(places[:_SHOWN])}{more} ({len(places)} in all)"
