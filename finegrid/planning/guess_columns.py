"""What the columns of a table are like, and what a guess says of them by their usual names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue

from tasks.file_options import Columns, as_label
from tasks.table_files import Format, column_names, read_rows

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
MOST_CLASSES = 50
FEW_CLASSES = 20
TEXT_WORDS = 3
"""Words that a text has on average, at least."""
_FIRST_ROWS = 200


class GuessError(Exception):
    """What cannot be guessed, and the option that says it."""


class ByName(NamedTuple):
    """A guess at a table by the usual names of its columns."""

    kind: str
    columns: Columns
    names: tuple[str | int, ...]
    """The columns of text."""
    asked: dict[str, JsonValue]
    reasons: tuple[str, ...]
    words: tuple[int, ...] = ()
    """Of the longest text that is right in each row, where `names` lacks its columns."""


@dataclass
class Column:
    """What the values of a column are like."""

    name: str | int
    rows: int = 0
    values: set[str] = field(default_factory=set)
    """No more than are too many for classes."""
    numbers: int = 0
    whole: int = 0
    words: list[int] = field(default_factory=list)
    several: int = 0
    """Rows with a list of more than one."""
    known_as: str | None = None
    """A usual name of what it holds, where it has another."""

    def add(self, value: Any) -> None:
        """Count one more value."""
        self.rows += 1
        self.several += isinstance(value, list) and len(value) > 1
        text = as_label(value).strip()
        if len(self.values) <= MOST_CLASSES:
            self.values.add(text)
        if NUMBER.fullmatch(text) and isfinite(number := float(text)):
            self.numbers += 1
            self.whole += number == int(number)
        self.words.append(len(text.split()))

    @property
    def key(self) -> str:
        """The name without case and signs, to be compared, or the usual one of what it holds."""
        return self.known_as or key_of(self.name)

    @property
    def mean_words(self) -> float:
        """The words of a value, on average."""
        return sum(self.words) / max(self.rows, 1)

    @property
    def may_be_classes(self) -> bool:
        """A few values that come back, none of which is a text."""
        return (
            2 <= len(self.values) <= FEW_CLASSES
            and self.rows >= 2 * len(self.values)
            and self.mean_words < TEXT_WORDS
        )


def key_of(name: str | int) -> str:
    """A column's name without case and signs."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def named(columns: Iterable[Column], name: str, option: str) -> Column:
    """The column of that name, which an option says. Raises GuessError."""
    found = [column for column in columns if str(column.name) == name]
    if not found:
        names = ", ".join(str(column.name) for column in columns)
        raise GuessError(f"{option}: {name!r} is no column; allowed: {names}")
    return found[0]


def columns_of(files: Sequence[Path], how: Format, without: Sequence[str] = ()) -> list[Column]:
    """The columns of some files with what their values are like, but for those `without`."""
    names = [name for name in column_names(files[0], "train", how) if name not in without]
    once = [name for name in names if names.count(name) == 1 and name != ""]
    columns = [Column(name) for name in once]
    wanted = {str(at): name for at, name in enumerate(once)}
    for path in files:
        for _, values in read_rows(path, wanted, "train", how):
            for column, value in zip(columns, values, strict=True):
                column.add(value)
    return columns


def first_rows(file: Path, how: Format) -> dict[str | int, list[Any]]:
    """The first values of each column; none where two have one name. Raises TableError."""
    names = [name for name in column_names(file, "train", how) if name != how.sentence]
    if len(set(names)) < len(names):
        return {}
    wanted = {str(at): name for at, name in enumerate(names)}
    rows = [values for _, values in islice(read_rows(file, wanted, "train", how), _FIRST_ROWS)]
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}
