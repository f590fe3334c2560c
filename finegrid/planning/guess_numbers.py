"""What a table of numbers and categories is likely to be: its label, its features, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from finegrid.planning.guess import (
    GROUPS,
    TEXTS,
    Guess,
    GuessError,
    Options,
    check_labels,
    shares_of,
)
from finegrid.planning.guess_columns import FEW_CLASSES, MOST_CLASSES, NUMBER, TEXT_WORDS, key_of
from finegrid.planning.guess_format import guess_format
from finegrid.planning.own_paths import Paths
from tasks.file_features import FEATURES, number_text
from tasks.file_kinds import kind_reading, needs_of
from tasks.file_options import Columns, as_label
from tasks.table_files import DELIMITERS, Format, column_names, ending_of, read_rows

_TARGETS = (
    *("target", "label", "labels", "class", "y", "survived", "saleprice", "quality", "outcome"),
    *("diagnosis", "species", "variety", "income", "medv", "price", "churn", "classification"),
    *("medianhousevalue", "medhouseval", "response", "default", "exited", "result", "output"),
)
"""Usual names of what is learnt of a row of numbers."""
_MISSING = ("?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "-", "#N/A")
"""What programs write for a value that is not there."""
_ID = re.compile(r"(.*[^A-Za-z])?([Ii][Dd]|idx|[Ii]ndex|uu?id|UU?ID)|.*[a-z]I[dD]|Unnamed.*|")
"""Names of what names a row; that of the index which pandas writes is blank."""
_STYLES: tuple[tuple[str, str | None], ...] = (
    *((".", None), (",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'")),
)
"""How decimals and thousands are written, the usual first."""
_EITHER = re.compile(r"[-+]?\d{1,3},\d{3}")
"""A number with decimals, or with thousands: no sign says which."""
_NEARLY = 0.8
"""The share of numbers in a column of which the other values are asked for."""
_ALMOST_ALL = 0.9
"""The share of different whole numbers of what names a row in a first column without a name."""
_LONG_TEXT = 8
"""The words on average of a text, where names and addresses have less."""
_SHOWN = 4
_ROWS = 50_000
"""That are looked at."""


@dataclass
class Values:
    """The values of a column, and how they are to be read."""

    name: str | int
    cells: list[str] = field(default_factory=list)
    """One a row, blank where there is none."""
    missing: set[str] = field(default_factory=set)
    """What says so."""

    def add(self, text: str) -> None:
        """Note the value of one more row."""
        is_there = bool(text) and text not in _MISSING
        self.cells.append(text if is_there else "")
        if not is_there:
            self.missing.add(text)

    @cached_property
    def texts(self) -> list[str]:
        """Those that are there."""
        return list(filter(None, self.cells))

    @cached_property
    def different(self) -> set[str]:
        """Those without their repetition."""
        return {*self.texts}

    def come_back(self, most: int) -> bool:
        """Whether some values come back, no more than so many, as those of categories do."""
        return 2 <= len(self.different) <= min(most, len(self.cells) / 2)

    @property
    def is_few(self) -> bool:
        """Whether they are as few as classes are."""
        return self.come_back(FEW_CLASSES)

    def share(self, how: Format) -> float:
        """How many of the values are numbers, by how a file writes them."""
        found = sum(bool(NUMBER.fullmatch(number_text(text, how))) for text in self.texts)
        return found / max(len(self.texts), 1)

    def is_whole(self, how: Format) -> bool:
        """Whether all are whole numbers."""
        return all(float(number_text(text, how)).is_integer() for text in self.texts)

    def counts_up(self, how: Format) -> bool:
        """Whether they number the rows."""
        if len(self.texts) < max(len(self.cells), 3) or self.share(how) < 1:
            return False
        numbers = [float(number_text(text, how)) for text in self.texts]
        return all(second - first == 1 for first, second in pairwise(numbers))

    def says(self, label: Values) -> bool:
        """Whether it is a label in other words: each of its values stands with one of these."""
        pairs = {(a, b) for a, b in zip(self.cells, label.cells, strict=True) if a and b}
        return self.is_few and len(pairs) == len(self.different) == len(label.different)


class _Told(NamedTuple):
    """What becomes of the columns that are not the label."""

    features: list[str | int]
    categories: list[str | int]
    left_out: dict[str, list[str]]
    """Why columns are no features -> their names."""


def guess_numbers(paths: Paths, given: Options) -> Guess | None:
    """The guess for rows of numbers; None for a table of texts, or of something else.

    Raises GuessError, TableError, OSError.
    """
    asked = needs_of(given.kind).numbers if given.kind is not None else ()
    file = paths["train"][0]
    is_table = file.is_file() and ending_of(file.name) in (*DELIMITERS, ".parquet")
    if given.text is not None or not is_table or (given.kind is not None and not asked):
        return None
    reasons: list[str] = []
    how = guess_format(file, Format(encoding=given.encoding, quotes=given.quotes), reasons)
    if how.sentences:
        return None
    columns = _values(paths["train"], how)
    how = _style(columns, how, given, reasons)
    if not asked and not _are_numbers(columns, how):
        return None
    _check_nearly(columns, how)
    label = _label(columns, how, given, reasons)
    kind = given.kind or _kind(label, how, reasons)
    check_labels(label.name, paths, how)
    told = _told([one for one in columns if one is not label], label, how)
    if not told.features:
        raise GuessError("no column but the label holds numbers or categories; allowed: 1 or more")
    reasons += _remarks(told)
    how = how.model_copy(update={"missing": _tokens(columns, told)})
    features: dict[str, JsonValue] = {"scale": "standard"}
    read = [one for one in columns if one.name in told.features]
    if any(one.missing for one in read if one.name not in told.categories):
        features["missing"] = "mean"
    if told.categories:
        features["categories"] = [*told.categories]
    if not needs_of(kind).classes:
        features["scale_label"] = True
    asked_of: dict[str, JsonValue] = {FEATURES: features}
    shares = shares_of(paths, reasons)
    dropped = tuple(sorted(label.missing))
    named: Columns = {FEATURES: tuple(told.features), "label": label.name}
    return Guess(kind, named, how, dropped, shares, None, tuple(reasons), asked_of)


def _values(files: Sequence[Path], how: Format) -> list[Values]:
    """The columns of some files with their values."""
    names = column_names(files[0], "train", how)
    once = [name for name in names if names.count(name) == 1]
    columns = [Values(name) for name in once]
    wanted = {str(at): name for at, name in enumerate(once)}
    rows = (row for path in files for row in read_rows(path, wanted, "train", how))
    for _, row in islice(rows, _ROWS):
        for column, value in zip(columns, row, strict=True):
            column.add(as_label(value).strip())
    return columns


def _style(columns: Sequence[Values], how: Format, given: Options, reasons: list[str]) -> Format:
    """How numbers are written: most columns hold numbers so. Raises GuessError where two may be."""
    styles = [
        how.model_copy(update={"decimal": decimal, "thousands": thousands})
        for decimal, thousands in _STYLES
        if given.decimal in (None, decimal)
    ]
    best = max(styles, key=lambda one: sum(column.share(one) == 1 for column in columns))
    if best.decimal == "." and best.thousands is None:
        return best
    found = [one for one in columns if one.share(best) == 1 and one.share(how) < 1]
    texts = [text for one in found for text in one.texts if not NUMBER.fullmatch(text)]
    if given.decimal is None and all(map(_EITHER.fullmatch, texts)):
        problem = f"{found[0].name}: {texts[0]!r} has decimals or thousands"
        raise GuessError(f"{problem}; say it: --decimal ',' (or '.', of thousands by commas)")
    shown = f", and {best.thousands!r} between thousands" if best.thousands else ""
    reasons.append(f"numbers have {best.decimal!r} before decimals{shown}, as {texts[0]!r}")
    return best


def _are_numbers(columns: Sequence[Values], how: Format) -> bool:
    """Whether more columns are numbers than texts, and 2 at least, and none is of long texts."""
    numbers = sum(column.share(how) == 1 and bool(column.texts) for column in columns)
    texts = [column for column in columns if _mean_words(column) >= TEXT_WORDS]
    is_text = any(key_of(one.name) in TEXTS or _mean_words(one) >= _LONG_TEXT for one in texts)
    return numbers >= 2 and numbers > 2 * len(texts) and not is_text


def _mean_words(column: Values) -> float:
    return sum(len(text.split()) for text in column.texts) / max(len(column.texts), 1)


def _check_nearly(columns: Sequence[Values], how: Format) -> None:
    """Refuse a column of numbers of which a few are none. Raises GuessError."""
    for column in columns:
        if _NEARLY <= column.share(how) < 1 and len(column.different) > FEW_CLASSES:
            others = [one for one in column.texts if not NUMBER.fullmatch(number_text(one, how))]
            shown = ", ".join(map(repr, dict.fromkeys(others)))
            written = f"what programs write for a missing one ({', '.join(_MISSING)})"
            allowed = f"allowed: numbers, or {written}; format.missing of a benchmark names others"
            raise GuessError(f"{column.name}: {shown:.80} among numbers; {allowed}")


def _label(columns: Sequence[Values], how: Format, given: Options, reasons: list[str]) -> Values:
    """The column that is learnt. Raises GuessError where several may be."""
    if given.label is not None:
        named = [column for column in columns if str(column.name) == given.label]
        if not named:
            names = ", ".join(str(column.name) for column in columns)
            raise GuessError(f"--label: {given.label!r} is no column; allowed: {names}")
        return named[0]
    usual = [column for column in columns if key_of(column.name) in _TARGETS]
    last = columns[-1]
    found = usual or ([last] if _may_be_last(last, columns, how) else [])
    if len(found) != 1:
        few = [column for column in columns if column.is_few and column is not last]
        names = ", ".join(str(column.name) for column in usual or [*few, last])
        raise GuessError(f"of the columns {names} several may be labels; say it: --label")
    why = "a usual name" if usual else "the last column"
    reasons.append(f"label: {found[0].name}, {why}")
    return found[0]


def _may_be_last(last: Values, columns: Sequence[Values], how: Format) -> bool:
    """Whether the last column is what is learnt: of classes, or no other one may be of classes."""
    if _why_no_feature(last, how) is not None:
        return False
    return last.is_few or not any(column.is_few for column in columns)


def _kind(label: Values, how: Format, reasons: list[str]) -> str:
    """Classes, of words or of few whole numbers; or numbers."""
    are_numbers = label.share(how) == 1
    classes = not are_numbers or (label.is_few and label.is_whole(how))
    kind = kind_reading(FEATURES, classes=classes)
    values = sorted(label.different)
    shown = ", ".join(values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
    counts = Counter(label.texts)
    lone = [value for value in values if counts[value] == 1] if classes else []
    if lone:
        reasons.append(f"of one row alone: {', '.join(map(repr, lone[:_SHOWN]))} of {label.name}")
    other = "; numbers may be learnt as such, by --kind" if classes and are_numbers else ""
    reasons.append(f"{kind}, for {label.name} has {len(values)} values: {shown}{other}")
    return kind


def _told(columns: Sequence[Values], label: Values, how: Format) -> _Told:
    told = _Told([], [], {})
    for column in columns:
        why = _why_no_feature(column, how)
        if why is None and column.says(label):
            why = f"they are {label.name} in other words"
        if why is not None:
            told.left_out.setdefault(why, []).append(str(column.name))
            continue
        told.features.append(column.name)
        if column.share(how) < 1:
            told.categories.append(column.name)
    return told


def _why_no_feature(column: Values, how: Format) -> str | None:
    """Why a column is not learnt from, if it is not: it names its row, or says nothing."""
    different, key = len(column.different), key_of(column.name)
    are_numbers = column.share(how) == 1
    share = different / max(len(column.cells), 1)
    if different < 2 and not (different and column.missing):
        return "one value in all rows"
    names_row = isinstance(column.name, str) and _ID.fullmatch(column.name.strip()) is not None
    is_code = column.name == 0 and are_numbers and column.is_whole(how) and share >= _ALMOST_ALL
    if column.counts_up(how) or is_code or (names_row and share == 1):
        return "other in each row, as what names it"
    if names_row or key in GROUPS:
        return "whose a row is; split.group would keep the rows of one in one split"
    if not are_numbers and not column.come_back(MOST_CLASSES):
        return f"words with more than {MOST_CLASSES} values, or too few rows of each"
    return None


def _remarks(told: _Told) -> Iterator[str]:
    for why, names in told.left_out.items():
        yield f"left out, {why}: {', '.join(names)}"
    numbers = [name for name in told.features if name not in told.categories]
    if numbers:
        yield f"numbers: {_listed(numbers)}"
    if told.categories:
        yield f"categories, a number of 0 or 1 for each of their values: {_listed(told.categories)}"


def _listed(names: Sequence[str | int]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > 4 * _SHOWN else ""
    return ", ".join(map(str, names[: 4 * _SHOWN])) + more


def _tokens(columns: Sequence[Values], told: _Told) -> tuple[str, ...]:
    """What stands for missing values of the features, blanks aside."""
    read = (column.missing for column in columns if column.name in told.features)
    return tuple(sorted(set[str]().union(*read) - {""}))
