"""What a benchmark says of a user's own files: splits, columns, rows to drop, classes, shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator

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


class HeldOut(Record):
    """The shares of the training file that become other splits, between 0 and 1."""

    validation: Share | None = None
    test: Share | None = None
    group: ColumnName | None = None
    """A column: rows with the same value stay in one split."""
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def shares(self) -> dict[SplitName, float]:
        """Those that are given; the test split comes first, and stays when the other changes."""
        given: dict[SplitName, float | None] = {"test": self.test, "validation": self.validation}
        return {name: share for name, share in given.items() if share is not None}


def as_text(value: Any) -> str:
    """A value as text; empty where there is none, or more than one."""
    if isinstance(value, str):
        return value
    is_nan = isinstance(value, float) and value != value
    no_text = value is None or is_nan or isinstance(value, list | tuple | dict | bytes)
    return "" if no_text else str(value)


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
