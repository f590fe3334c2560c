"""The checked rows of a user's own files, and their splits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from finegrid.records.prepared import SPLITS, SplitName
from tasks.file_labels import canonical, find_labels, listed_labels, named_classes
from tasks.file_options import NOTHING, ClassNames, Columns, Dropped, HeldOut, as_text
from tasks.splitting import divided, grouped, proportional
from tasks.table_files import PLAIN, Format, TableError, read_rows, stored_names

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SHOWN = 5
Paths = Mapping[SplitName, Sequence[Path]]


class Example(NamedTuple):
    """A row of a file: its id and place, its texts, its label and group as they are written."""

    id: str
    place: str
    texts: tuple[str, ...]
    label: str
    group: str


class Survey(NamedTuple):
    """What the rows of a task's files hold."""

    written: tuple[str, ...]
    """The labels as the files have them, by the index of their class; empty for a regression."""
    names: tuple[str, ...]
    """The names of the classes."""
    counts: dict[SplitName, int]
    """Rows of each split."""


@dataclass(frozen=True)
class Reading:
    """How the rows of some files become examples."""

    columns: Columns
    classes: bool
    """Whether a label is a class, else a number."""
    split: HeldOut | None = None
    how: Format = PLAIN
    drop: Dropped = NOTHING
    _unused: set[tuple[str, str]] = field(default_factory=set)

    def survey(self, paths: Paths, labels: ClassNames | None = None) -> Survey:
        """What files at these paths hold, all of which is checked.

        Raises TableError for files that no task can be made of, and OSError.
        """
        rows = self.load(paths, keep_texts=False)
        counts = {name: len(part) for name, part in rows.items()}
        if not self.classes:
            return Survey((), (), counts)
        found = find_labels(row.label for row in rows["train"])
        if len(found) < 2:
            where = f"{_names(paths['train'])}, column {self.columns.label!r}"
            problem = f"{where}: all rows are {found[0]!r}; allowed: 2 labels or more"
            raise TableError(("columns", "label"), problem)
        stored = stored_names(paths["train"][0], self.columns.label)
        written, names = named_classes(found, labels, stored)
        label_numbers(rows, written)
        return Survey(written, names, counts)

    def load(self, paths: Paths, *, keep_texts: bool = True) -> dict[SplitName, list[Example]]:
        """The checked rows of every split, in the order of their files.

        Raises TableError, OSError.
        """
        dropped = {(key, value) for key, values in self.drop for value in values}
        self._unused.update(dropped)
        found: dict[SplitName, list[Example]] = {name: [] for name in SPLITS}
        for name, files in paths.items():
            cut = self.split if self.split and self.split.shares and name == "train" else None
            rows = list(self._split_rows(files, name, cut, keep_texts))
            if not rows:
                raise TableError(
                    ("files", name), f"{_names(files)} has no rows; allowed: 1 or more"
                )
            parts = self._held_out(rows, cut) if cut else [name] * len(rows)
            for row, part in zip(rows, parts, strict=True):
                found[part].append(row)
        for key, value in sorted(self._unused):
            raise TableError(("drop", key), f"no row has {value!r}; allowed: what some rows have")
        return found

    def _held_out(self, rows: Sequence[Example], split: HeldOut) -> list[SplitName]:
        """The split of every row of the training file."""
        if split.group is not None:
            order = grouped([row.group for row in rows], split.seed)
        else:
            strata = [row.label if self.classes else "" for row in rows]
            order = proportional(strata, split.seed)
        groups = [row.group for row in rows] if split.group is not None else None
        try:
            return divided(order, split.shares, groups)
        except ValueError as error:
            raise TableError(("split",), str(error)) from error

    def _split_rows(
        self, files: Sequence[Path], split: SplitName, cut: HeldOut | None, keep_texts: bool
    ) -> Iterator[Example]:
        """The rows of a split, numbered over all of its files."""
        wanted = {key: name for key, name in self.columns if name is not None}
        if cut is not None and cut.group is not None:
            wanted["group"] = cut.group
        dropped = {key: set(values) for key, values in self.drop if values}
        number = 0
        for path in files:
            check = _Checks(path, wanted, self.classes)
            for place, values in read_rows(path, wanted, split, self.how):
                number += 1
                named = dict(zip(wanted, map(as_text, values), strict=True))
                if self._is_dropped(named, dropped):
                    continue
                check.note(place, named)
                texts = tuple(named[key] for key in ("text", "text_pair") if key in named)
                label, group = named["label"].strip(), named.get("group", "")
                where = place if len(files) == 1 else f"{path.name}, {place}"
                yield Example(f"{split}-{number}", where, texts if keep_texts else (), label, group)
            check.finish()

    def _is_dropped(self, named: Mapping[str, str], dropped: Mapping[str, set[str]]) -> bool:
        found = [
            (key, value)
            for key, values in dropped.items()
            if key in named and (value := named[key].strip()) in values
        ]
        self._unused.difference_update(found)
        return bool(found)


@dataclass
class _Checks:
    """Collects the rows of a file that are blank, or not of the kind."""

    path: Path
    wanted: Mapping[str, str | int]
    classes: bool
    bad: dict[str, list[str]] = field(default_factory=dict)

    def note(self, place: str, named: Mapping[str, str]) -> None:
        """Look at the values of a row."""
        for key, value in named.items():
            if not value or value.isspace() or (key == "label" and not self._is_of_kind(value)):
                self.bad.setdefault(key, []).append(place)

    def _is_of_kind(self, label: str) -> bool:
        return self.classes or (bool(_NUMBER.fullmatch(label.strip())) and isfinite(float(label)))

    def finish(self) -> None:
        """Raise TableError for the rows that are bad."""
        for key, places in self.bad.items():
            numbers = key == "label" and not self.classes
            allowed = "numbers, with a point" if numbers else "text"
            if key != "group" and not numbers:
                allowed += f'; or drop: {{{key}: [""]}}, which leaves blank rows out'
            where = f"{self.path.name}, column {self.wanted[key]!r}"
            at = ("split", "group") if key == "group" else ("columns", key)
            problem = f"{where}: blank or wrong in {listed(places)}; allowed: {allowed}"
            raise TableError(at, problem)


def _names(files: Sequence[Any]) -> str:
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"


def listed(places: Sequence[str]) -> str:
    """The first few places, and how many there are: `line 3, line 5 (2 in all)`."""
    more = ", ..." if len(places) > _SHOWN else ""
    return f"{', '.join(places[:_SHOWN])}{more} ({len(places)} in all)"


def label_numbers(
    given: Mapping[SplitName, Sequence[Example]], labels: Sequence[str]
) -> dict[SplitName, list[int]]:
    """The class index of every row. Raises TableError for a label that is no class."""
    index = {label: number for number, label in enumerate(labels)}
    written = {row.label for rows in given.values() for row in rows}
    texts = {label: canonical(label, labels) for label in written}
    for name, rows in given.items():
        bad = [row for row in rows if texts[row.label] not in index]
        if bad:
            raise TableError(
                ("columns", "label"),
                f"{name}: {texts[bad[0].label]!r} in {listed([row.place for row in bad])} is no "
                f"label of the training data; allowed: {listed_labels(labels)}",
            )
    return {name: [index[texts[row.label]] for row in rows] for name, rows in given.items()}
