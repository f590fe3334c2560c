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

from records.identity import canonical_json, content_hash, file_sha256
from records.prepared import MANIFEST_FILE, SPLITS, Overlap, PreparedTask, Split, SplitName
from records.registry import UnknownNameError
from records.specification import Task
from records.write import atomic_path
from tasks.registry import TASKS
from tasks.splitting import normalised
from workflow.sources import DOWNLOADS, SourceError, fetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.contract import Task as RegisteredTask

_COLUMNS = {
    "id": pa.string(),
    "text": pa.string(),
    "text_pair": pa.string(),
    "pixels": pa.list_(pa.float32()),
}
_INPUTS = (("text",), ("text", "text_pair"), ("pixels",))
_Tables = dict[SplitName, Any]


def prepare_task(task: Task, destination: Path, cache: Path = DOWNLOADS) -> PreparedTask:
    """Write `<split>.parquet` for every split and then the manifest; returns the manifest.

    `cache` keeps downloaded sdists. Raises ValueError where options or data are wrong,
    UnknownNameError for a task that is not registered, SourceError and OSError.
    """
    registered = TASKS.build(task.task, task.options)
    with tempfile.TemporaryDirectory() as folder:
        fetch(task.source, Path(folder), registered.files(), cache=cache)
        frames = registered.read(Path(folder))
    tables = {name: _table(name, frames, registered) for name in SPLITS}
    _check_ids(tables)
    (destination / MANIFEST_FILE).unlink(missing_ok=True)
    splits = {
        name: _write_split(destination / f"{name}.parquet", table, registered.labels)
        for name, table in tables.items()
    }
    manifest = _manifest(task, registered, splits, _overlaps(tables))
    manifest.write(destination / MANIFEST_FILE)
    return manifest


def _table(split: SplitName, frames: Mapping[SplitName, pd.DataFrame], task: RegisteredTask) -> Any:
    """One split as a checked pyarrow table without pandas' metadata."""
    frame = frames.get(split)
    if frame is None or frame.empty:
        raise ValueError(f"split {split} has no examples")
    types = {**_COLUMNS, "label": pa.int64() if task.labels else pa.float64()}
    columns = [name for name in types if name in frame]
    if tuple(columns[1:-1]) not in _INPUTS or set(columns) != set(frame.columns):
        raise ValueError(f"split {split} has the columns {', '.join(frame.columns)}")
    table = pa.table({name: _column(split, frame[name], types[name]) for name in columns})
    _check_labels(split, table["label"].to_numpy(), len(task.labels))
    if "pixels" in columns:
        _check_pixels(split, table)
    return table


def _column(split: SplitName, values: pd.Series[Any], kind: Any) -> Any:
    where = f"split {split}, column {values.name}"
    if values.isna().any():
        raise ValueError(f"{where}: {values.isna().sum()} missing values")
    # pyarrow would cut 0.5 to the whole number 0 without a word.
    if pa.types.is_integer(kind) and not pd.api.types.is_integer_dtype(values):
        raise ValueError(f"{where}: {values.dtype} in the place of whole numbers")
    try:
        return pa.array(values.to_list(), type=kind)
    except pa.ArrowException as error:
        raise ValueError(f"{where}: {error}") from error


def _check_labels(split: SplitName, labels: NDArray[Any], classes: int) -> None:
    bad = (labels < 0) | (labels >= classes) if classes else ~np.isfinite(labels)
    if bad.any():
        allowed = f"0 to {classes - 1}" if classes else "finite numbers"
        raise ValueError(
            f"split {split}: {bad.sum()} labels such as {labels[bad][0]}; allowed: {allowed}"
        )


def _check_pixels(split: SplitName, table: Any) -> None:
    lengths = {len(row) for row in table["pixels"]}
    if len(lengths) != 1:
        raise ValueError(f"split {split}: images of {sorted(lengths)} pixels")
    values = _pixels(table)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"split {split}: pixels outside of [0, 1]")


def _check_ids(tables: _Tables) -> None:
    """Refuse an id that occurs twice, in one split or in two."""
    counts = Counter(name for table in tables.values() for name in table["id"].to_pylist())
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(f"{len(twice)} ids occur more than once, such as {twice[0]!r}")


def _pixels(table: Any) -> NDArray[Any]:
    """(examples, pixels), 32-bit floats in little-endian order on every machine."""
    flat = table["pixels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    pixels: NDArray[Any] = flat.astype("<f4").reshape(table.num_rows, -1)
    return pixels


def _values(table: Any, column: str) -> list[Any]:
    """A column as plain values; images by the hash of their pixels."""
    if column == "pixels":
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in _pixels(table)]
    values: list[Any] = table[column].to_pylist()
    return values


def _content_sha256(table: Any) -> str:
    """Hash of the rows in their order, whatever the version of the parquet writer."""
    names = table.column_names
    digest = hashlib.sha256()
    for row in zip(*(_values(table, name) for name in names), strict=True):
        digest.update(canonical_json(dict(zip(names, row, strict=True))).encode() + b"\n")
    return digest.hexdigest()


def _inputs(table: Any) -> set[tuple[str, ...]]:
    """The distinct inputs of a split, texts normalised."""
    columns = [
        values if name == "pixels" else [normalised(text) for text in values]
        for name in table.column_names[1:-1]
        for values in [_values(table, name)]
    ]
    return set(zip(*columns, strict=True))


def _overlaps(tables: _Tables) -> tuple[Overlap, ...]:
    inputs = {name: _inputs(table) for name, table in tables.items()}
    return tuple(
        Overlap(first=first, second=second, exact=len(inputs[first] & inputs[second]))
        for first, second in combinations(SPLITS, 2)
    )


def _write_split(path: Path, table: Any, labels: tuple[str, ...]) -> Split:
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
    counts = Counter(table["label"].to_pylist())
    return Split(
        n=table.num_rows,
        sha256=_content_sha256(table),
        file_sha256=file_sha256(path),
        label_counts={label: counts[index] for index, label in enumerate(labels)},
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
        prepare_task(Task.model_validate_json(text), options.output, options.cache)
    except OSError as error:
        return _fail(os.EX_IOERR, str(error))
    except ValidationError as error:
        return _fail(os.EX_DATAERR, _one_line(error))
    except (SourceError, UnknownNameError, ValueError) as error:
        return _fail(os.EX_DATAERR, str(error))
    return os.EX_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workflow.prepare_task", description=__doc__)
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
