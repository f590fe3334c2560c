"""Parquet as a table: its columns, its rows, and what the datasets library says of both in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_BATCH_ROWS, _BATCH_BYTES = 1 << 16, 1 << 26
"""What is held as Python's own values at a time."""


class ParquetError(Exception):
    """What is wrong inside a file, after the file's name."""


def names(path: Path) -> list[str]:
    """The columns of a file, and those of records in them behind a dot: `translation.en`.

    Raises ParquetError and OSError, as all here do.
    """
    with _opened(path) as file:
        return [name for one in file.schema_arrow for name in _names(one)]


def _names(column: Any) -> Iterator[str]:
    import pyarrow as pa

    yield column.name
    if pa.types.is_struct(column.type) and not _holds_files(column.type):
        yield from (f"{column.name}.{inner.name}" for inner in column.type)


def rows(path: Path, columns: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """The values of these columns, row by row; a column may be asked for twice."""
    with _opened(path) as file:
        own = {*file.schema_arrow.names}
        whole = [name if name in own else name.partition(".")[0] for name in columns]
        read = list(dict.fromkeys(whole))
        for batch in file.iter_batches(batch_size=_batch_rows(file.metadata), columns=read):
            table = batch.to_pydict()
            values = (_values(table, one, at) for one, at in zip(columns, whole, strict=True))
            yield from zip(*values, strict=True)


def _values(table: dict[str, list[Any]], name: str, column: str) -> list[Any]:
    """The values of a column, or of a name in the records of one."""
    if name == column:
        return table[column]
    inner = name.partition(".")[2]
    return [record and record[inner] for record in table[column]]


def class_names(path: Path, column: str | int) -> tuple[str, ...]:
    """The names of a column's classes, where the datasets library has kept them; or none."""
    with _opened(path) as file:
        stored = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        feature = json.loads(stored)["info"]["features"][column]
        found = feature.get("feature", feature)["names"]  # of the classes of a list
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def file_columns(path: Path) -> tuple[str, ...]:
    """The columns of whole files: their bytes, alone or as the datasets library keeps them."""
    with _opened(path) as file:
        return tuple(one.name for one in file.schema_arrow if _holds_files(one.type))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield file
    except pa.ArrowException as error:
        raise ParquetError(f": no parquet: {error}") from error


def _batch_rows(metadata: Any) -> int:
    """How many rows are read at a time, by the bytes that they have on average."""
    groups = range(metadata.num_row_groups)
    size: int = sum(metadata.row_group(at).total_byte_size for at in groups)
    count: int = metadata.num_rows
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * count // max(size, 1)))


def _holds_files(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(part.name == "bytes" and _holds_files(part.type) for part in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
