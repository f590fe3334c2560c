"""A user's own table files as a task: which columns hold the texts and the label."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from finegrid.records.base import Record
from finegrid.records.prepared import SPLITS, SplitName
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import divided, grouped, proportional
from tasks.table_files import TableError, read_rows

if TYPE_CHECKING:
    import pandas as pd

REGISTERED = "table-files"
"""The task's name, of which a benchmark's entry with files of its own is made."""
FilesKind = Literal["text-classification", "text-regression"]
Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
_DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_MISSING = ("na", "n/a", "nan", "none", "null")
"""What programs write for a label that is not there, in folded case."""
_SHOWN = 5


class SplitFiles(Record):
    """The file of each split."""

    train: Text
    validation: Text | None = None
    test: Text | None = None

    @property
    def named(self) -> dict[SplitName, str]:
        """Those that are given."""
        return {name: file for name in SPLITS if (file := getattr(self, name)) is not None}


class Columns(Record):
    """The columns that are read; no other is."""

    text: Text
    text_pair: Text | None = None
    label: Text


class HeldOut(Record):
    """The shares of the training file that become other splits, between 0 and 1."""

    validation: Share | None = None
    test: Share | None = None
    group: Text | None = None
    """A column: rows with the same value stay in one split."""
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def shares(self) -> dict[SplitName, float]:
        """Those that are given; the test split comes first, and stays when the other changes."""
        given: dict[SplitName, float | None] = {"test": self.test, "validation": self.validation}
        return {name: share for name, share in given.items() if share is not None}


class Example(NamedTuple):
    """A row of a file: its id and place, its texts, its label and group as they are written."""

    id: str
    place: str
    texts: tuple[str, ...]
    label: str
    group: str


@register(REGISTERED)
@dataclass(frozen=True)
class Files(Task):
    """Texts, or pairs of them, with a label: the rows of the user's own table files.

    CSV and TSV have the names of their columns in the first line; a delimiter of CSV is a comma, a
    semicolon or a tab. A text is taken as it stands, also one that reads `NA`. Of a label the
    spaces about it are dropped. A classification's labels are whole numbers and other decimal
    numbers (1.0 is 1) where all of them are, else words. What `split` holds out of the training
    file is as the labels are distributed there, or whole groups.
    """

    splits: SplitFiles
    """Names of the files below the source."""
    columns: Columns
    kind: FilesKind = "text-classification"
    labels: tuple[str, ...] = ()
    """Class names by index; empty for a regression."""
    split: HeldOut | None = field(default=None)

    def __post_init__(self) -> None:
        """Check the options against each other. Raises ValueError."""
        if problem := split_problem(self.splits, self.split):
            raise ValueError(": ".join(problem))
        if (self.kind == "text-classification") != bool(self.labels):
            raise ValueError(
                f"labels: {list(self.labels)} do not go with kind {self.kind!r}; "
                "a classification names its classes, and it alone"
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Accuracy, or the correlations of a regression."""
        return ("accuracy",) if self.labels else ("pearson", "spearman")

    def files(self) -> tuple[str, ...]:
        """The files of the splits."""
        return tuple(self.splits.named.values())

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; ids are the split's file and the number of the row in it, from 1."""
        import pandas as pd

        paths = {name: folder / file for name, file in self.splits.named.items()}
        rows = load(paths, self.columns, self.kind, self.split)
        numbers = label_numbers(rows, self.labels) if self.labels else None
        names = ["text", "text_pair"][: 1 + (self.columns.text_pair is not None)]
        frames: dict[SplitName, pd.DataFrame] = {}
        for name, chosen in rows.items():
            frame = pd.DataFrame([row.texts for row in chosen], columns=names, dtype="str")
            frame.insert(0, "id", [row.id for row in chosen])
            labels = numbers[name] if numbers else [float(row.label) for row in chosen]
            frames[name] = frame.assign(label=labels)
        return frames


def split_problem(splits: SplitFiles, split: HeldOut | None) -> tuple[str, str] | None:
    """What is wrong with the files and shares of the splits, as key and sentence."""
    shares = split.shares if split else {}
    for name in ("validation", "test"):
        if name in splits.named and name in shares:
            return f"split.{name}", "files names it too; allowed: one of the two"
        if name not in splits.named and name not in shares:
            return f"files.{name}", "this split is missing; allowed: a file, or a share in split"
    if sum(shares.values()) >= 1:
        return "split", f"shares of {sum(shares.values()):g} leave nothing to train on"
    return None


def survey(
    paths: Mapping[SplitName, Path], columns: Columns, kind: FilesKind, split: HeldOut | None
) -> tuple[str, ...]:
    """The labels of a task whose files are at these paths, all of which are checked.

    Raises TableError for files that no task can be made of, and OSError.
    """
    rows = load(paths, columns, kind, split, keep_texts=False)
    if kind == "text-regression":
        return ()
    labels = find_labels(row.label for row in rows["train"])
    if len(labels) < 2:
        found = f"{paths['train'].name}, column {columns.label!r}: all rows are {labels[0]!r}"
        raise TableError(("columns", "label"), f"{found}; allowed: 2 labels or more")
    label_numbers(rows, labels)
    return labels


def load(
    paths: Mapping[SplitName, Path],
    columns: Columns,
    kind: FilesKind,
    split: HeldOut | None,
    *,
    keep_texts: bool = True,
) -> dict[SplitName, list[Example]]:
    """The checked rows of every split, in the order of their files. Raises TableError, OSError."""
    found: dict[SplitName, list[Example]] = {name: [] for name in SPLITS}
    for name, path in paths.items():
        cut = split if split is not None and split.shares and name == "train" else None
        rows = list(_examples(path, name, columns, kind, cut.group if cut else None, keep_texts))
        if not rows:
            raise TableError(("files", name), f"{path.name} has no rows; allowed: 1 or more")
        parts = _held_out(rows, cut, kind) if cut else [name] * len(rows)
        for row, part in zip(rows, parts, strict=True):
            found[part].append(row)
    return found


def _held_out(rows: Sequence[Example], split: HeldOut, kind: FilesKind) -> list[SplitName]:
    """The split of every row of the training file."""
    if split.group is not None:
        order = grouped([row.group for row in rows], split.seed)
    else:
        strata = [row.label if kind == "text-classification" else "" for row in rows]
        order = proportional(strata, split.seed)
    groups = [row.group for row in rows] if split.group is not None else None
    try:
        return divided(order, split.shares, groups)
    except ValueError as error:
        raise TableError(("split",), str(error)) from error


def _examples(
    path: Path,
    split: SplitName,
    columns: Columns,
    kind: FilesKind,
    group: str | None,
    keep_texts: bool,
) -> Iterator[Example]:
    """The rows of a file; in the end TableError for all that are blank, or not of the kind."""
    wanted = {key: name for key, name in columns if name is not None}
    keys = {key: ("columns", key) for key in wanted} | {"group": ("split", "group")}
    wanted |= {"group": group} if group is not None else {}
    bad: dict[str, list[str]] = {}
    for number, (place, values) in enumerate(read_rows(path, wanted, split), 1):
        named = dict(zip(wanted, map(_value, values), strict=True))
        for key, value in named.items():
            if not value or value.isspace() or (key == "label" and not _is_of_kind(value, kind)):
                bad.setdefault(key, []).append(place)
        texts = tuple(named[key] for key in ("text", "text_pair") if key in named)
        label, own = named["label"].strip(), named.get("group", "")
        yield Example(f"{split}-{number}", place, texts if keep_texts else (), label, own)
    for key, places in bad.items():
        allowed = "numbers, with a point" if (key, kind) == ("label", "text-regression") else "text"
        where = f"{path.name}, column {wanted[key]!r}"
        raise TableError(
            keys[key], f"{where}: blank or wrong in {listed(places)}; allowed: {allowed}"
        )


def _value(value: Any) -> str:
    """A value as text; empty where there is none, or more than one."""
    if isinstance(value, str):
        return value
    is_nan = isinstance(value, float) and value != value
    return "" if value is None or is_nan or isinstance(value, list | dict) else str(value)


def _is_of_kind(label: str, kind: FilesKind) -> bool:
    if kind == "text-classification":
        return True
    return bool(_NUMBER.fullmatch(label.strip())) and isfinite(float(label))


def listed(places: Sequence[str]) -> str:
    """The first few places, and how many there are: `line 3, line 5 (2 in all)`."""
    more = ", ..." if len(places) > _SHOWN else ""
    return f"{', '.join(places[:_SHOWN])}{more} ({len(places)} in all)"


def find_labels(written: Iterable[str]) -> tuple[str, ...]:
    """The classes that labels name: numbers in their order, or words in that of their letters.

    Raises TableError for a missing label among numbers.
    """
    values = set(written)
    numbers = {value for value in values if _DECIMAL.fullmatch(value)}
    if numbers == values:
        return tuple(sorted(set(map(_plain, values)), key=Decimal))
    missing = [value for value in values if value.casefold() in _MISSING]
    if numbers and missing:
        raise TableError(
            ("columns", "label"),
            f"{missing[0]!r} stands beside numbers; allowed: "
            "a number in every row, or a word in every row",
        )
    return tuple(sorted(values))


def _plain(number: str) -> str:
    """A decimal number without zeros at its end: 1 for 1.0."""
    whole, _, decimals = number.partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else "0" if whole == "-0" else whole


def label_numbers(
    given: Mapping[SplitName, Sequence[Example]], labels: Sequence[str]
) -> dict[SplitName, list[int]]:
    """The class index of every row. Raises TableError for a label that is no class."""
    as_numbers = all(map(_DECIMAL.fullmatch, labels))
    index = {label: number for number, label in enumerate(labels)}
    found: dict[SplitName, list[int]] = {}
    for name, rows in given.items():
        texts = [
            _plain(row.label) if as_numbers and _DECIMAL.fullmatch(row.label) else row.label
            for row in rows
        ]
        bad = [at for at, text in enumerate(texts) if text not in index]
        if bad:
            places = listed([rows[at].place for at in bad])
            raise TableError(
                ("columns", "label"),
                f"{name}: {texts[bad[0]]!r} in {places} is no label of the training data; "
                f"allowed: {', '.join(map(repr, labels[:20]))}",
            )
        found[name] = [index[text] for text in texts]
    return found
