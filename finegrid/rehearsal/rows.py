"""A handful of rows for each split: real ones where they lie on this machine, else made ones."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from finegrid.prepare.downloads import is_archived
from finegrid.prepare.sources import DOWNLOADS, is_local
from finegrid.prepare.task import Frames, read_task
from finegrid.records.prepared import MANIFEST_FILE, SPLITS, SplitName
from finegrid.records.specification import Source, Task
from finegrid.rehearsal.patterns import PatternError, matching
from kinds.contract import Kind
from kinds.registry import kind_named
from tasks.contract import Task as RegisteredTask
from tasks.registry import TASKS

ROWS = 4
"""Of each split: one batch."""
_WORDS = (
    *("north", "river", "seven", "lamp", "quiet", "green", "window", "market", "paper", "stone"),
    *("early", "cloud", "train", "music", "garden", "letter", "bridge", "winter", "silver", "door"),
)
_TEXT_WORDS, _LENGTHS = 6, (3, 2, 1)
_PIXELS, _RATE = 32, 16_000


class MadeRowsError(ValueError):
    """A kind of task for which no rows could be made: the problem of the last that were tried."""


@dataclass(frozen=True)
class Handful:
    """A few rows of a task, and where they come from."""

    frames: Frames
    made: bool


def handful(task: Task, prepared: Path) -> Handful:
    """The rows that a task is rehearsed on. Nothing is downloaded.

    `prepared` is the folder of what was prepared before. Raises what reading a task raises, and
    MadeRowsError.
    """
    folder = prepared / "tasks" / task.key
    if (folder / MANIFEST_FILE).is_file():
        tables = {name: pq.read_table(folder / f"{name}.parquet") for name in SPLITS}
        return Handful({name: _few(rows) for name, rows in tables.items()}, made=False)
    registered = TASKS.build(task.task, task.options)
    sources = [(task.source, registered.files())] if task.source else []
    if all(lies_here(*one) for one in (*sources, *registered.beside().values())):
        frames = read_task(task, DOWNLOADS).frames
        return Handful({name: _few(rows) for name, rows in frames.items()}, made=False)
    return Handful(made_rows(registered, task.options), made=True)


def lies_here(source: Source, files: Sequence[str] | None) -> bool:
    """Whether a source can be read without a network: locally, or of what was fetched before."""
    if is_local(source.uri):
        return True
    if is_archived(source.uri):
        return any((DOWNLOADS / name).is_file() for name in source.sha256)
    from huggingface_hub import try_to_load_from_cache

    wanted = files if files is not None else tuple(source.sha256)
    repository = source.uri.partition(":")[2]
    found = (
        try_to_load_from_cache(repository, name, revision=source.revision, repo_type="dataset")
        for name in wanted
    )
    return bool(wanted) and all(isinstance(path, str) for path in found)


def _few(rows: pd.DataFrame | pa.Table) -> pd.DataFrame | pa.Table:
    """A few rows, drawn evenly over their order: those of one label may stand together."""
    places = np.unique(np.linspace(0, len(rows) - 1, ROWS).round().astype(int))
    return rows.iloc[places] if isinstance(rows, pd.DataFrame) else rows.take(places)


@dataclass(frozen=True)
class _Style:
    """One way to make rows: what fits depends on a kind, whose own checks decide."""

    named: bool
    """Whether columns that may be left out are there."""
    matched: bool
    """Whether texts end in what a pattern of the task matches."""
    length: int
    """Of lists."""
    labelled: bool
    """Whether texts of lists are labels."""
    only: str | None
    """The label that all of them are; None: each in turn."""


def made_rows(task: RegisteredTask, options: Mapping[str, JsonValue]) -> dict[SplitName, pa.Table]:
    """Rows with the columns of a task's kind. Raises MadeRowsError."""
    kind, problem = kind_named(task.kind, task.kind_options), "none were made"
    for only, named, matched, labelled, length in product(
        (None, *task.labels), (True, False), (False, True), (False, True), _LENGTHS
    ):
        maker = _Maker(kind, task, options, _Style(named, matched, length, labelled, only))
        try:
            made = {name: maker.table(name) for name in SPLITS}
        except (PatternError, pa.ArrowException) as error:
            problem = str(error)
            continue
        found = [one for rows in made.values() for one in _problems(kind, rows, task.labels)]
        if not found:
            return made
        problem = found[0]
    raise MadeRowsError(f"no rows could be made that kind {task.kind!r} takes: {problem}")


def _problems(kind: Kind, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
    try:
        yield from kind.output.problems(rows, labels)
        yield from kind.inputs.problems(rows)
    except (KeyError, ValueError, TypeError) as error:
        yield f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class _Maker:
    kind: Kind
    task: RegisteredTask
    options: Mapping[str, JsonValue]
    style: _Style

    def table(self, split: SplitName) -> pa.Table:
        """The rows of a split. Raises PatternError."""
        numbers = range(SPLITS.index(split) * ROWS, (SPLITS.index(split) + 1) * ROWS)
        columns = {"id": pa.array([f"{split}-{number}" for number in numbers])}
        truths = self.kind.output.schema().names
        for field in (*self.kind.inputs.schema(), *self.kind.output.schema()):
            if self._has(field.name):
                is_true = field.name in truths
                values = [self._value(field.type, number, is_true) for number in numbers]
                columns[field.name] = pa.array(values, field.type)
        return pa.table(columns)

    def _has(self, name: str) -> bool:
        """Whether the task has a column, which its kind may leave out.

        What its options say of columns decides. Of those that others can be composed of, the first
        alone is there: what stands in the others has a form of its own.
        """
        optional, composed = self.kind.inputs.optional, self.kind.inputs.composed
        if name not in optional:
            return True
        columns = self.options.get("columns")
        if not isinstance(columns, Mapping):
            return self.style.named and not (composed and name != optional[0])
        if any(columns.get(one) is not None for one in composed):
            return name == optional[0]
        return columns.get(name) is not None

    def _value(self, kind: pa.DataType, number: int, is_true: bool) -> Any:
        """A value of an Arrow type for the row of that number."""
        labels = self.task.labels
        if pa.types.is_string(kind):
            return self._text(number, is_true)
        if pa.types.is_integer(kind):
            return number % (len(labels) or 2)
        if pa.types.is_floating(kind):
            return (number * 0.37) % 1.0
        if pa.types.is_binary(kind):
            return _content(self.kind.inputs.examine, self.task.input_size, number)
        if pa.types.is_list(kind):
            return self._list(kind.value_type, number, is_true)
        if pa.types.is_struct(kind):  # lists of one length, of the words of the row's own texts
            return {field.name: self._value(field.type, number, is_true=False) for field in kind}
        raise MadeRowsError(f"no value of the type {kind} is made")

    def _list(self, kind: pa.DataType, number: int, is_true: bool) -> list[Any]:
        if pa.types.is_floating(kind):
            draw = np.random.default_rng(number)
            return list(draw.random(self.task.input_size or self.style.length))
        length, labels = self.style.length, self.task.labels
        if pa.types.is_string(kind):
            shown = (self.style.only,) if self.style.only is not None else labels
            if is_true and self.style.labelled and shown:
                return [shown[(number + place) % len(shown)] for place in range(length)]
            if is_true:
                return [self._text(number + place, is_true) for place in range(length)]
            return _words(number)[:length]
        return [0 if length == 1 else place % (len(labels) or 2) for place in range(length)]

    def _text(self, number: int, is_true: bool) -> str:
        text = " ".join(_words(number))
        if not (is_true and self.style.matched):
            return text
        return " ".join([text, *map(matching, self._patterns())])

    def _patterns(self) -> Iterator[str]:
        """What the task says of its kind that may be a pattern of texts."""
        for value in self.task.kind_options.values():
            if isinstance(value, str):
                try:
                    re.compile(value)
                except re.error:
                    continue
                yield value


def _words(number: int) -> list[str]:
    """The words of the text of that number; no two rows have the same."""
    draw = np.random.default_rng(number)
    return [_WORDS[place] for place in draw.permutation(len(_WORDS))[:_TEXT_WORDS]]


def _content(examine: Callable[[bytes], Any], pixels: int | None, number: int) -> bytes:
    """The bytes of a file of noise that can be read. Raises MadeRowsError."""
    for make in (_picture, _recording):
        content = make(pixels, number)
        if examine(content).problem is None:
            return content
    raise MadeRowsError("neither a picture nor a recording is what the kind reads")


def _picture(pixels: int | None, number: int) -> bytes:
    from PIL import Image

    side = math.isqrt(pixels) if pixels and math.isqrt(pixels) ** 2 == pixels else _PIXELS
    noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()


def _recording(pixels: int | None, number: int) -> bytes:
    import soundfile

    noise, stream = np.random.default_rng(number).uniform(-0.5, 0.5, _RATE), io.BytesIO()
    soundfile.write(stream, noise, _RATE, format="WAV")
    return stream.getvalue()


def words_of(frames: Frames) -> Iterator[str]:
    """The texts of the rows, for a tokenizer that is made of their words."""
    for rows in frames.values():
        columns = rows.to_dict("list") if isinstance(rows, pd.DataFrame) else rows.to_pydict()
        for name, values in columns.items():
            if name != "id":
                yield from _texts(values)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
