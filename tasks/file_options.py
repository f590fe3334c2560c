"""What a benchmark says of a user's own files: splits, columns, rows to drop, classes, shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

from finegrid.records.base import Record
from finegrid.records.prepared import SPLITS, SplitName
from tasks.table_files import ColumnName, column_name

Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _one_or_more(files: Any) -> Any:
    """One file alone is a list of one."""
    one_or_all = (files,) if isinstance(files, str) else files
    return tuple(one_or_all) if isinstance(one_or_all, list) else one_or_all


Parts = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_one_or_more)]
"""The files of a split in their order: one, or its shards."""


class SplitFiles(Record):
    """The files of each split. A name that ends with a slash is a folder of texts of one label."""

    train: Parts
    validation: Parts | None = None
    test: Parts | None = None

    @property
    def named(self) -> dict[SplitName, tuple[str, ...]]:
        """Those that are given."""
        return {name: files for name in SPLITS if (files := getattr(self, name)) is not None}


def _one_or_several(value: Any) -> str | int | tuple[str | int, ...] | None:
    """A column, several, or none. Raises ValueError."""
    if isinstance(value, list | tuple):
        if not value or len(set(map(str, value))) < len(value):
            raise ValueError("allowed: 1 column or more, none twice")
        return tuple(map(column_name, value))
    return None if value is None else column_name(value)


def _as_json(value: Any) -> Any:
    """Several columns as JSON has them."""
    return list(value) if isinstance(value, tuple) else value


OneOrSeveral = Annotated[
    str | int | tuple[str | int, ...] | None,
    PlainValidator(_one_or_several, json_schema_input_type=str | int | list[str | int]),
    PlainSerializer(_as_json),
]
Columns = dict[str, OneOrSeveral]
"""The columns that are read, by what a kind calls them; no other is."""


def flat(columns: Columns) -> dict[str, str | int]:
    """Column by its key; the i-th of several has the key `key[i]`."""
    found: dict[str, str | int] = {}
    for key, name in columns.items():
        if isinstance(name, tuple):
            found |= {f"{key}[{at}]": one for at, one in enumerate(name)}
        elif name is not None:
            found[key] = name
    return found


def _one_value_or_more(values: Any) -> Any:
    """One value alone is a list of one, and each is text."""
    given = values if isinstance(values, list | tuple) else [values]
    return tuple(as_text(one).strip() for one in given)


PartValues = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_one_value_or_more)]
"""Values of a column that one split has."""


class SplitLists(Record):
    """The files that list the examples of a split, one a line."""

    train: Text | None = None
    """Without it, what stands in no list is trained on."""
    validation: Text | None = None
    test: Text | None = None

    @property
    def named(self) -> dict[SplitName, str]:
        """Those that are given."""
        return {name: file for name in SPLITS if (file := getattr(self, name)) is not None}


class SplitValues(Record):
    """The values of a column that say which split an example is in."""

    train: PartValues | None = None
    """Without it, every other value is trained on."""
    validation: PartValues | None = None
    test: PartValues | None = None

    @property
    def named(self) -> dict[SplitName, tuple[str, ...]]:
        """Those that are given."""
        return {name: values for name in SPLITS if (values := getattr(self, name)) is not None}


def _is_none(value: Any) -> bool:
    return value is None


def _regular_expression(text: str) -> str:
    """Raises ValueError for a pattern that Python cannot compile."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{error}; allowed: a regular expression") from error
    return text


class HeldOut(Record):
    """How the training examples are divided: by shares, by lists, or by a column's values.

    A share is between 0 and 1, of the examples that lists and values leave to training.
    """

    validation: Share | None = None
    test: Share | None = None
    group: ColumnName | None = None
    """A column: rows with the same value stay in one split."""
    seed: Annotated[int, Field(ge=0)] = 0
    group_pattern: Annotated[
        str | None, AfterValidator(lambda text: text and _regular_expression(text))
    ] = Field(default=None, exclude_if=_is_none)
    """What it matches in a file's name, its first group if it has one, is the example's group."""
    lists: SplitLists | None = Field(default=None, exclude_if=_is_none)
    path: Text | None = Field(default=None, exclude_if=_is_none)
    """Where a listed file lies, `{}` for the line: `images/{}.jpg`."""
    column: ColumnName | None = Field(default=None, exclude_if=_is_none)
    values: SplitValues | None = Field(default=None, exclude_if=_is_none)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.column is None) != (self.values is None):
            key, other = ("values", "column") if self.values is None else ("column", "values")
            raise ValueError(f"{key}: this key is required beside {other}")
        if self.column is not None and self.lists is not None:
            raise ValueError("lists: column is there too; allowed: one of the two")
        if self.group is not None and self.group_pattern is not None:
            raise ValueError("group_pattern: group is there too; allowed: one of the two")
        if self.path is not None and (self.lists is None or self.path.count("{}") != 1):
            allowed = "one {} for the line of a list, as images/{}.jpg, beside lists"
            raise ValueError(f"path: {self.path!r} is not allowed; allowed: {allowed}")
        for name in self.shares:
            if name in self.given:
                raise ValueError(f"{name}: lists or values name it too; allowed: one of the two")
        every = [one for values in self.by_value.values() for one in values]
        if twice := sorted(one for one in set(every) if every.count(one) > 1):
            raise ValueError(f"values: {twice[0]!r} stands twice; allowed: once, in one split")
        return self

    @property
    def shares(self) -> dict[SplitName, float]:
        """Those that are given; the test split comes first, and stays when the other changes."""
        given: dict[SplitName, float | None] = {"test": self.test, "validation": self.validation}
        return {name: share for name, share in given.items() if share is not None}

    @property
    def by_value(self) -> dict[SplitName, tuple[str, ...]]:
        """The values of the column that are named, by their split."""
        return self.values.named if self.values else {}

    @property
    def given(self) -> tuple[SplitName, ...]:
        """The splits that lists or values name."""
        return (*(self.lists.named if self.lists else ()), *self.by_value)

    @property
    def divides(self) -> bool:
        """Whether anything is taken of the training examples."""
        return bool(self.shares or self.given)

    @property
    def is_grouped(self) -> bool:
        """Whether examples have groups, each of which is in one split."""
        return self.group is not None or self.group_pattern is not None


class Metadata(Record):
    """The tables that name the files of a folder, with what is known of each."""

    files: Parts
    """Below the folder: one, or several that are joined by `key`."""
    path: Text | None = None
    """Where a file lies below the folder, with columns in braces: `audio/fold{fold}/{name}`."""
    key: ColumnName | None = None
    """The column that all of several tables have: each of its values stands once in each."""

    @model_validator(mode="after")
    def _tables_are_joined(self) -> Self:
        if (len(self.files) > 1) != (self.key is not None):
            allowed = "allowed: beside 2 files or more, and only there"
            raise ValueError(f"key: this key joins several tables; {allowed}")
        return self


def one_table(value: Any) -> Any:
    """A name alone is that of one table of metadata."""
    return {"files": value} if isinstance(value, str) else value


def as_text(value: Any) -> str:
    """A value as text; empty where there is none, or more than one."""
    if isinstance(value, str):
        return value
    is_nan = isinstance(value, float) and value != value
    no_text = value is None or is_nan or isinstance(value, list | tuple | dict | bytes)
    return "" if no_text else str(value)


def as_label(value: Any) -> str:
    """A label as text, which a list may hold alone; empty where there is none, or more than one."""
    return as_text(value[0] if isinstance(value, list) and len(value) == 1 else value)


def as_content(value: Any) -> bytes:
    """The bytes of a file, alone or beside its path; none where there are none."""
    found = value.get("bytes") if isinstance(value, dict) else value
    return found if isinstance(found, bytes) else b""


def _as_texts(values: Any) -> Any:
    plain = isinstance(values, list) and not any(isinstance(one, list | dict) for one in values)
    return tuple(as_text(one).strip() for one in values) if plain else values


Values = Annotated[tuple[str, ...], BeforeValidator(_as_texts)]


Dropped = dict[str, Values]
"""Values whose rows are left out, by what a kind calls their column; "" is a blank."""


def _class_names(given: Any) -> dict[str, str] | tuple[str, ...]:
    """Names by the labels that they stand for, or names alone. Raises ValueError."""
    pairs = list(given.items()) if isinstance(given, Mapping) else []
    names = [name for _, name in pairs] or (list(given) if isinstance(given, list | tuple) else [])
    texts = [as_text(name).strip() for name in names]
    if len(set(texts)) < len(texts) or len(texts) < 2 or "" in texts:
        raise ValueError("allowed: 2 names or more, none twice and none blank")
    if not pairs:
        return tuple(texts)
    return {value.strip(): name for (value, _), name in zip(pairs, texts, strict=True)}


ClassNames = Annotated[
    dict[str, str] | tuple[str, ...],
    PlainValidator(_class_names, json_schema_input_type=dict[str, str] | list[str]),
]
"""The classes in their order: a mapping from a label to its name, or a list of names."""
