"""Rows of table files, CSV, TSV, JSON lines or parquet, each with its place in the file."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

DELIMITERS = {".csv": ",;\t", ".tsv": "\t"}
ENDINGS = (*DELIMITERS, ".jsonl", ".parquet")
"""What the names of table files end with."""
Row = tuple[str, tuple[Any, ...]]
"""Where a row stands, `line 3` or `row 3`, and the values of the wanted columns."""


class TableError(ValueError):
    """A table file that cannot be used. `key` says which part of a task's entry is at fault."""

    def __init__(self, key: tuple[str, ...], problem: str) -> None:
        super().__init__(f"{'.'.join(key)}: {problem}")
        self.key, self.problem = key, problem


def read_rows(path: Path, columns: dict[str, str], split: str) -> Iterator[Row]:
    """The rows of a file, with the values of `columns` (their key in the benchmark -> their name).

    Lines without any value are no rows. A value of CSV or TSV is text. Raises TableError, and
    OSError.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise TableError(("files", split), f"{path.name}: allowed endings: {', '.join(ENDINGS)}")
    try:
        if ending in DELIMITERS:
            yield from _delimited(path, columns)
        else:
            yield from (_json_lines if ending == ".jsonl" else _parquet)(path, columns)
    except UnicodeDecodeError as error:
        raise TableError(("files", split), _no_utf8(path)) from error
    except _FileError as error:
        raise TableError(("files", split), f"{path.name}{error}") from error


class _FileError(Exception):
    """What is wrong inside a file, after the file's name: `, line 3: ...`."""


def _no_utf8(path: Path) -> str:
    """The first line that is no UTF-8; the decoder itself reads ahead and cannot tell."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x}"
                return f"{path.name}, line {number}: {byte} is no UTF-8; allowed: a file in UTF-8"
    return f"{path.name} is no UTF-8; allowed: a file in UTF-8"


def _places(path: Path, names: Sequence[str], columns: dict[str, str]) -> list[int]:
    """Where the wanted columns stand among those that a file has."""
    counts = Counter(names)
    for key, name in columns.items():
        if name not in counts:
            has = ", ".join(map(repr, names))
            raise TableError(
                ("columns", key), f"{path.name} has no column {name!r}; allowed: {has}"
            )
        if counts[name] > 1:
            twice = f"{path.name} has {counts[name]} columns {name!r}; allowed: one of that name"
            raise TableError(("columns", key), twice)
    return [names.index(name) for name in columns.values()]


def _delimited(path: Path, columns: dict[str, str]) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    delimiter = _delimiter(path, columns)
    # the sign that some programs put before UTF-8 is no part of the first column's name
    with path.open(encoding="utf-8-sig", newline="") as stream:
        records = _records(csv.reader(stream, delimiter=delimiter, strict=True))
        names = next(records, ("", []))[1]
        if not names:
            raise _FileError(" is empty; allowed: a first line with the names of the columns")
        places = _places(path, names, columns)
        for place, values in records:
            if len(values) != len(names):
                raise _FileError(
                    f", {place}: {len(values)} values; allowed: {len(names)}, one a column"
                )
            yield place, tuple(values[at] for at in places)


def _records(reader: Any) -> Iterator[tuple[str, list[str]]]:
    """The records with the line that each begins at: a quoted text may go over several."""
    while True:
        start = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            rule = "allowed: quotes about a whole value, and twice inside of it"
            raise _FileError(f", the record from line {start}: {error}; {rule}") from error
        if values is None:
            return
        if any(value.strip() for value in values):
            yield f"line {start}", values


def _delimiter(path: Path, columns: dict[str, str]) -> str:
    """The delimiter under which the first line names most of the wanted columns."""
    headers = {}
    for delimiter in DELIMITERS[path.suffix.lower()]:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            try:
                headers[delimiter] = next(csv.reader(stream, delimiter=delimiter), [])
            except csv.Error:
                headers[delimiter] = []
    wanted = set(columns.values())
    return max(headers, key=lambda one: (len(wanted & set(headers[one])), len(headers[one])))


def _json_lines(path: Path, columns: dict[str, str]) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
        objects = ((number, _object(number, line)) for number, line in numbered)
        first = next(objects, None)
        if first is None:
            raise _FileError(" is empty; allowed: one JSON object a line")
        _places(path, list(first[1]), columns)
        for number, values in chain([first], objects):
            yield f"line {number}", tuple(values.get(name) for name in columns.values())


def _object(number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise _FileError(f", line {number}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise _FileError(f", line {number}: no JSON object; allowed: one object a line")
    return found


def _parquet(path: Path, columns: dict[str, str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _places(path, file.schema_arrow.names, columns)
            number = 0
            for batch in file.iter_batches(columns=list(dict.fromkeys(columns.values()))):
                table = batch.to_pydict()
                for values in zip(*(table[name] for name in columns.values()), strict=True):
                    number += 1
                    yield f"row {number}", values
    except pa.ArrowException as error:
        raise _FileError(f": no parquet: {error}") from error
