"""Prepare a task: fetch its source, split it, check it, and write splits and manifest."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from finegrid.prepare.packed import unpack_below
from finegrid.prepare.sources import DOWNLOADS, SourceError, fetch
from finegrid.records.identity import canonical_json, content_hash, file_sha256
from finegrid.records.prepared import (
    MANIFEST_FILE,
    SPLITS,
    Overlap,
    PreparedTask,
    SharedExample,
    Split,
    SplitName,
)
from finegrid.records.registry import UnknownNameError
from finegrid.records.specification import Task
from finegrid.records.write import atomic_path
from kinds.registry import kind_named
from tasks.registry import TASKS

if TYPE_CHECKING:
    from kinds.contract import Kind
    from kinds.inputs.duplicates import Comparison, Match
    from tasks.contract import Task as RegisteredTask

_EXAMPLES = 5
_BATCH_ROWS = 1 << 12
"""Rows that are held as Python's own values at a time."""
_GROUP_ROWS, _GROUP_BYTES = 1 << 16, 1 << 28
"""What is written, and can be read, at a time."""
_Tables = dict[SplitName, pa.Table]
Frames = Mapping[SplitName, pd.DataFrame | pa.Table]
"""The rows of each split."""


class Read(NamedTuple):
    """What a task reads of its source."""

    frames: Frames
    dropped: Mapping[str, int] = MappingProxyType({})
    """Examples that are in no split, by the reason."""


def prepare_task(task: Task, destination: Path, cache: Path = DOWNLOADS) -> PreparedTask:
    """Write `<split>.parquet` for every split and then the manifest; returns the manifest.

    `cache` keeps downloaded archives. Raises ValueError where options or data are wrong,
    UnknownNameError for a task that is not registered, SourceError and OSError.
    """
    return write_task(task, partial(read_task, task, cache), destination)


def read_task(task: Task, cache: Path = DOWNLOADS) -> Read:
    """The rows of every split, as the registered task reads them of its source. Raises as above."""
    registered = TASKS.build(task.task, task.options)
    with tempfile.TemporaryDirectory() as folder:
        if task.source is not None:
            fetch(task.source, Path(folder), registered.files(), cache=cache)
        for name, (source, files) in registered.beside().items():
            fetch(source, Path(folder) / name, files, cache=cache)
        if registered.unpacks:
            unpack_below(Path(folder))
        return Read(registered.read(Path(folder)), registered.dropped(Path(folder)))


def write_task(task: Task, read: Callable[[], Read], destination: Path) -> PreparedTask:
    """Check the rows that are read, and write them as those of the task, as `prepare_task` does."""
    registered = TASKS.build(task.task, task.options)
    kind = kind_named(registered.kind, registered.kind_options)
    if problem := kind.output.label_problem(registered.labels):
        raise ValueError(f"kind {registered.kind!r}: {problem}")
    frames, dropped = read()
    tables = {name: _table(name, frames, kind, registered.labels) for name in SPLITS}
    del frames  # a million rows of text are held once
    _check_ids(tables)
    (destination / MANIFEST_FILE).unlink(missing_ok=True)
    splits = {
        name: _write_split(
            destination / f"{name}.parquet", table, kind.output.counts(table, registered.labels)
        )
        for name, table in tables.items()
    }
    overlaps = _overlaps(tables, kind.inputs.compare())
    manifest = _manifest(task, registered, splits, overlaps, dict(dropped))
    manifest.write(destination / MANIFEST_FILE)
    return manifest


def _table(
    split: SplitName,
    frames: Frames,
    kind: Kind,
    labels: Sequence[str],
) -> pa.Table:
    """One split as a checked pyarrow table without pandas' metadata."""
    rows = frames.get(split)
    if rows is None or len(rows) == 0:
        raise ValueError(f"split {split} has no examples")
    names = list(rows.columns) if isinstance(rows, pd.DataFrame) else rows.column_names
    known = [pa.field("id", pa.string()), *kind.inputs.schema(), *kind.output.schema()]
    fields = [field for field in known if field.name in names]
    lacking = {field.name for field in known} - set(names) - set(kind.inputs.optional)
    if lacking or len(fields) != len(names):
        allowed = ", ".join(field.name for field in known)
        found = f"split {split} has the columns {', '.join(names)}"
        raise ValueError(f"{found}; allowed: {allowed}")
    table = pa.table({one.name: _column(split, rows, one.name, one.type) for one in fields})
    for problem in (*kind.output.problems(table, labels), *kind.inputs.problems(table)):
        raise ValueError(f"split {split}: {problem}")
    return table


def _column(split: SplitName, rows: pd.DataFrame | pa.Table, name: str, kind: Any) -> Any:
    """A column of that Arrow type. Raises ValueError for values that are missing or do not fit."""
    where, is_frame = f"split {split}, column {name}", isinstance(rows, pd.DataFrame)
    values = rows[name]
    missing = values.isna() if is_frame else values.is_null(nan_is_null=True).to_numpy()
    if missing.any():
        ids = _first([repr(one) for one in pd.Series(rows["id"])[missing]])
        raise ValueError(f"{where}: {missing.sum()} missing values, in rows {ids}")
    # pyarrow would cut 0.5 to the whole number 0 without a word.
    is_whole = pd.api.types.is_integer_dtype if is_frame else pa.types.is_integer
    found = values.dtype if is_frame else values.type
    if pa.types.is_integer(kind) and not is_whole(found):
        raise ValueError(f"{where}: {found} in the place of whole numbers")
    try:
        return pa.array(values.to_list(), type=kind) if is_frame else values.cast(kind)
    except pa.ArrowException as error:
        raise ValueError(f"{where}: {error}") from error


def _first(rows: list[str]) -> str:
    return ", ".join(rows[:_EXAMPLES]) + (", ..." if len(rows) > _EXAMPLES else "")


def _check_ids(tables: _Tables) -> None:
    """Refuse an id that occurs twice, in one split or in two."""
    ids = pa.chunked_array([part for table in tables.values() for part in table["id"].chunks])
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist()
    if twice:
        raise ValueError(f"{len(twice)} ids occur more than once, such as {min(twice)!r}")


def _values(column: pa.Array) -> list[Any]:
    """A column as plain values; files and lists of 32-bit floats by the hash of their bytes."""
    if pa.types.is_binary(column.type):
        return [hashlib.sha256(content.as_buffer()).hexdigest() for content in column]
    if column.type.equals(pa.list_(pa.float32())):
        # in little-endian order on every machine
        rows = (np.asarray(row, dtype="<f4") for row in column.to_numpy(zero_copy_only=False))
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in rows]
    values: list[Any] = column.to_pylist()
    return values


def _content_sha256(table: pa.Table) -> str:
    """Hash of the rows in their order, whatever the version of the parquet writer."""
    names, digest = table.column_names, hashlib.sha256()
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        for row in zip(*map(_values, batch.columns), strict=True):
            digest.update(canonical_json(dict(zip(names, row, strict=True))).encode() + b"\n")
    return digest.hexdigest()


def _overlaps(tables: _Tables, comparison: Comparison) -> tuple[Overlap, ...]:
    read = {name: comparison.read(table) for name, table in tables.items()}
    return tuple(
        _overlap(first, second, tables, comparison, comparison.matches(read[first], read[second]))
        for first, second in combinations(SPLITS, 2)
    )


def _overlap(
    first: SplitName,
    second: SplitName,
    tables: _Tables,
    comparison: Comparison,
    found: Sequence[Match],
) -> Overlap:
    earlier, later = tables[first], tables[second]
    exact = sum(match.exact for match in found)
    return Overlap(
        first=first,
        second=second,
        definition=comparison.definition,
        exact=exact,
        near=len(found) - exact if comparison.finds_near else None,
        fraction=len(found) / later.num_rows,
        examples=tuple(
            SharedExample(
                first=earlier["id"][match.first].as_py(),
                second=later["id"][match.second].as_py(),
                similarity=round(match.similarity, 4),
            )
            for match in sorted(found, key=lambda match: -match.similarity)[:_EXAMPLES]
        ),
    )


def _sentence(manifest: PreparedTask) -> str:
    """What the splits share, what is in none of them, and how to read the task, for a log."""
    dropped = (f"dropped {count}: {reason}" for reason, count in manifest.dropped.items())
    kind = kind_named(manifest.kind, manifest.kind_options)
    said = (*manifest.remarks, *kind.remarks())
    return f"{manifest.key}: {'; '.join([*map(_shared, manifest.overlaps), *dropped, *said])}"


def _shared(one: Overlap) -> str:
    near = "" if one.near is None else f" and {one.near} near"
    share = f"{100 * one.fraction:.2f} % of {one.second}"
    return f"{one.second} and {one.first} share {one.exact} exact{near} duplicates ({share})"


def _write_split(path: Path, table: pa.Table, label_counts: dict[str, int]) -> Split:
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, table.schema) as writer:
        rows = max(1, min(_GROUP_ROWS, _GROUP_BYTES * table.num_rows // (table.nbytes or 1)))
        for start in range(0, table.num_rows, rows):
            # in one chunk: else the file would depend on the blocks in which its rows were read
            writer.write_table(table.slice(start, rows).combine_chunks())
    return Split(
        n=table.num_rows,
        sha256=_content_sha256(table),
        file_sha256=file_sha256(path),
        label_counts=label_counts,
    )


def _manifest(
    task: Task,
    registered: RegisteredTask,
    splits: dict[SplitName, Split],
    overlaps: tuple[Overlap, ...],
    dropped: dict[str, int],
) -> PreparedTask:
    return PreparedTask(
        key=task.key,
        spec=task,
        kind=registered.kind,
        kind_options=dict(registered.kind_options),
        labels=registered.labels,
        metrics=registered.metrics,
        splits=splits,
        overlaps=overlaps,
        dropped=dropped,
        remarks=registered.remarks,
        sha256=content_hash({name: split.sha256 for name, split in splits.items()}),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, 65 for wrong data, or 74 where reading or writing fails."""
    options = _parser().parse_args(arguments)
    try:
        text = sys.stdin.read() if options.spec == "-" else Path(options.spec).read_text("utf-8")
        done = prepare_task(Task.model_validate_json(text), options.output, options.cache)
    except OSError as error:
        return _fail(os.EX_IOERR, str(error))
    except ValidationError as error:
        return _fail(os.EX_DATAERR, _one_line(error))
    except (SourceError, UnknownNameError, ValueError) as error:
        return _fail(os.EX_DATAERR, str(error))
    sys.stderr.write(f"{_sentence(done)}\n")
    return os.EX_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m finegrid.prepare.task", description=__doc__)
    parser.add_argument("--spec", required=True, help="the task as JSON: a file, or - for stdin")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    parser.add_argument("--cache", type=Path, default=DOWNLOADS, help="folder of downloads")
    return parser


def _one_line(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}".removeprefix(": ")
        for item in error.errors()
    )


def _fail(code: int, message: str) -> int:
    sys.stderr.write(f"prepare_task: {' '.join(message.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
