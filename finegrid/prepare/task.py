"""Prepare a task: fetch its source, split it, check it, and write splits and manifest."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

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
    from kinds.inputs.duplicates import Comparison
    from tasks.contract import Task as RegisteredTask

_EXAMPLES = 5
_Tables = dict[SplitName, Any]


def prepare_task(task: Task, destination: Path, cache: Path = DOWNLOADS) -> PreparedTask:
    """Write `<split>.parquet` for every split and then the manifest; returns the manifest.

    `cache` keeps downloaded sdists. Raises ValueError where options or data are wrong,
    UnknownNameError for a task that is not registered, SourceError and OSError.
    """
    registered = TASKS.build(task.task, task.options)
    with tempfile.TemporaryDirectory() as folder:
        if task.source is not None:
            fetch(task.source, Path(folder), registered.files(), cache=cache)
        frames = registered.read(Path(folder))
    kind = kind_named(registered.kind)
    if problem := kind.output.label_problem(registered.labels):
        raise ValueError(f"kind {registered.kind!r}: {problem}")
    tables = {name: _table(name, frames, kind, registered.labels) for name in SPLITS}
    _check_ids(tables)
    (destination / MANIFEST_FILE).unlink(missing_ok=True)
    splits = {
        name: _write_split(
            destination / f"{name}.parquet", table, kind.output.counts(table, registered.labels)
        )
        for name, table in tables.items()
    }
    manifest = _manifest(task, registered, splits, _overlaps(tables, kind.inputs.compare()))
    manifest.write(destination / MANIFEST_FILE)
    return manifest


def _table(
    split: SplitName, frames: Mapping[SplitName, pd.DataFrame], kind: Kind, labels: Sequence[str]
) -> Any:
    """One split as a checked pyarrow table without pandas' metadata."""
    frame = frames.get(split)
    if frame is None or frame.empty:
        raise ValueError(f"split {split} has no examples")
    known = [pa.field("id", pa.string()), *kind.inputs.schema(), *kind.output.schema()]
    fields = [field for field in known if field.name in frame]
    lacking = {field.name for field in known} - set(frame.columns) - set(kind.inputs.optional)
    if lacking or len(fields) != len(frame.columns):
        allowed = ", ".join(field.name for field in known)
        found = f"split {split} has the columns {', '.join(frame.columns)}"
        raise ValueError(f"{found}; allowed: {allowed}")
    table = pa.table({one.name: _column(split, frame, one.name, one.type) for one in fields})
    for problem in (*kind.output.problems(table, labels), *kind.inputs.problems(table)):
        raise ValueError(f"split {split}: {problem}")
    return table


def _column(split: SplitName, frame: pd.DataFrame, name: str, kind: Any) -> Any:
    where, values = f"split {split}, column {name}", frame[name]
    if (missing := values.isna()).any():
        rows = _first([repr(row) for row in frame["id"][missing]])
        raise ValueError(f"{where}: {missing.sum()} missing values, in rows {rows}")
    # pyarrow would cut 0.5 to the whole number 0 without a word.
    if pa.types.is_integer(kind) and not pd.api.types.is_integer_dtype(values):
        raise ValueError(f"{where}: {values.dtype} in the place of whole numbers")
    try:
        return pa.array(values.to_list(), type=kind)
    except pa.ArrowException as error:
        raise ValueError(f"{where}: {error}") from error


def _first(rows: list[str]) -> str:
    return ", ".join(rows[:_EXAMPLES]) + (", ..." if len(rows) > _EXAMPLES else "")


def _check_ids(tables: _Tables) -> None:
    """Refuse an id that occurs twice, in one split or in two."""
    counts = Counter(name for table in tables.values() for name in table["id"].to_pylist())
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(f"{len(twice)} ids occur more than once, such as {twice[0]!r}")


def _values(table: Any, column: str) -> list[Any]:
    """A column as plain values; lists of 32-bit floats by the hash of their bytes."""
    if table.schema.field(column).type.equals(pa.list_(pa.float32())):
        # in little-endian order on every machine
        rows = (np.asarray(row, dtype="<f4") for row in table[column].to_numpy())
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in rows]
    values: list[Any] = table[column].to_pylist()
    return values


def _content_sha256(table: Any) -> str:
    """Hash of the rows in their order, whatever the version of the parquet writer."""
    names = table.column_names
    digest = hashlib.sha256()
    for row in zip(*(_values(table, name) for name in names), strict=True):
        digest.update(canonical_json(dict(zip(names, row, strict=True))).encode() + b"\n")
    return digest.hexdigest()


def _overlaps(tables: _Tables, comparison: Comparison) -> tuple[Overlap, ...]:
    return tuple(
        _overlap(first, second, tables[first], tables[second], comparison)
        for first, second in combinations(SPLITS, 2)
    )


def _overlap(
    first: SplitName, second: SplitName, earlier: Any, later: Any, comparison: Comparison
) -> Overlap:
    found = comparison.matches(earlier, later)
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
    """What the splits share, for a log."""
    return f"{manifest.key}: {'; '.join(map(_shared, manifest.overlaps))}"


def _shared(one: Overlap) -> str:
    near = "" if one.near is None else f" and {one.near} near"
    share = f"{100 * one.fraction:.2f} % of {one.second}"
    return f"{one.second} and {one.first} share {one.exact} exact{near} duplicates ({share})"


def _write_split(path: Path, table: Any, label_counts: dict[str, int]) -> Split:
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
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
) -> PreparedTask:
    return PreparedTask(
        key=task.key,
        spec=task,
        kind=registered.kind,
        labels=registered.labels,
        metrics=registered.metrics,
        splits=splits,
        overlaps=overlaps,
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
