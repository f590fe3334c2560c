"""Encoded examples, read where their files are mapped to memory."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from finegrid.records.damage import CorruptedFileError, check_files, read_manifest
from finegrid.records.encoded import Encoded, encoded_file
from finegrid.records.prepared import MANIFEST_FILE, SPLITS, PreparedTask, SplitName
from kinds.contract import Batch, Example, Inputs, Kind, Row
from kinds.registry import kind_named


class Rows:
    """Examples by index, of a column of structs: their values are views, and nothing is copied."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._parts = [_readers(part) for part in column.chunks]
        self._ends = list(accumulate(map(len, column.chunks)))

    def __getitem__(self, index: int) -> Example:
        at = bisect_right(self._ends, index)
        start = self._ends[at - 1] if at else 0
        return {name: read(index - start) for name, read in self._parts[at].items()}


@dataclass(frozen=True)
class Examples:
    """One split: ids, sizes, weights, inputs and targets by index, as a table of Arrow.

    Several examples may be made of a row: batches are of examples, predictions of rows.
    """

    kind: Kind
    table: pa.Table
    fillers: Mapping[str, int] = field(default_factory=dict)
    """What pads the inputs, where the model has a say in it."""
    model_folder: Path | None = None
    """The prepared model that the examples are encoded for."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def rows(self) -> Sequence[range]:
        """The examples of each row, which stand one after another."""
        if not self.kind.inputs.divides:
            return [range(at, at + 1) for at in range(len(self))]
        ids = self.table["id"].to_pylist()
        firsts = [at for at, one in enumerate(ids) if at == 0 or one != ids[at - 1]]
        return [range(*pair) for pair in pairwise([*firsts, len(ids)])]

    @property
    def ids(self) -> list[str]:
        """The identity of each row."""
        found: list[str] = self.table["id"].to_pylist()
        return [found[row.start] for row in self.rows] if self.kind.inputs.divides else found

    @cached_property
    def sizes(self) -> Sequence[int]:
        """The units of each example."""
        return _numbers(self.table["size"])

    @cached_property
    def weights(self) -> Sequence[int]:
        """How many terms of the loss each example brings."""
        return _numbers(self.table["weight"])

    @cached_property
    def inputs(self) -> Rows:
        """The encoded inputs."""
        return Rows(self.table["inputs"])

    @cached_property
    def targets(self) -> Rows:
        """The encoded targets."""
        return Rows(self.table["targets"])

    @cached_property
    def processor(self) -> Any:
        """What encoded the examples, which reads what a model writes; loaded when asked for."""
        return None if self.model_folder is None else self.kind.inputs.processor(self.model_folder)

    @cached_property
    def truths(self) -> list[Row]:
        """What is true of each row, by column."""
        return [self.kind.output.truth(self.targets[row.start]) for row in self.rows]

    def merged(self, said: list[Row]) -> list[Row]:
        """What a model says of each row, by what it says of each example."""
        if not self.kind.inputs.divides:
            return said
        return [
            self.kind.output.merged(
                said[row.start : row.stop],
                [self.inputs[at] for at in row],
                [self.targets[at] for at in row],
            )
            for row in self.rows
        ]

    def batch(self, indices: Sequence[int]) -> Batch:
        """These examples, padded to the largest of them."""
        inputs, targets = [self.inputs[i] for i in indices], [self.targets[i] for i in indices]
        return Batch(
            self.kind.inputs.collate(inputs, self.fillers), self.kind.output.collate(targets)
        )

    def prompts(self, indices: Sequence[int]) -> Batch:
        """What a model that writes is given of these examples, to which there are no targets."""
        inputs = [self.inputs[index] for index in indices]
        return Batch(self.kind.inputs.prompts(inputs, self.fillers), {})

    def some(self, count: int) -> Self:
        """That many rows, evenly spaced in their order; all where there are no more."""
        if count >= len(self.rows):
            return self
        chosen = (self.rows[number * len(self.rows) // count] for number in range(count))
        return replace(self, table=self.table.take([at for row in chosen for at in row]))


def load_examples(
    folder: Path, task: PreparedTask, model_folder: Path, names: Sequence[SplitName] = SPLITS
) -> dict[SplitName, Examples]:
    """Splits of an encoded task, for the model in `model_folder`; no other is read.

    Raises CorruptedFileError for a changed file, and for an encoding of other data or for another
    processor, and UnknownNameError for a kind that is not registered.
    """
    kind = kind_named(task.kind, task.kind_options)
    encoded = read_manifest(Encoded, folder)
    _check_source(folder, encoded, task, kind.inputs, model_folder)
    found: dict[SplitName, Examples] = {}
    for name in names:
        file = encoded_file(name)
        check_files(folder, {file: encoded.splits[name].file_sha256})
        with pa.memory_map(str(folder / file)) as source:
            table = pa.ipc.open_file(source).read_all()
        found[name] = Examples(kind, table, encoded.fillers, model_folder)
    return found


def _check_source(
    folder: Path, encoded: Encoded, task: PreparedTask, inputs: Inputs, model_folder: Path
) -> None:
    """Hold the manifest of an encoding against what it should have been made of."""
    pairs = {
        "key": (encoded.key, folder.name),
        "data_sha256": (encoded.data_sha256, task.sha256),
        "processor": (encoded.processor, inputs.made_of(model_folder)),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            raise CorruptedFileError(folder / MANIFEST_FILE, f"{name} {found}, here {expected}")


def _numbers(column: pa.ChunkedArray) -> Sequence[int]:
    """Whole numbers, which are read as Python's own."""
    return memoryview(column.to_numpy())


def _readers(structs: pa.StructArray) -> dict[str, Callable[[int], Any]]:
    """Name of a value -> what reads it of an example."""
    return {one.name: _reader(structs.field(at)) for at, one in enumerate(structs.type)}


def _reader(array: pa.Array) -> Callable[[int], Any]:
    """What reads a value by its index: a number as Python's own, a list of numbers as a view."""
    kind = array.type
    if _is_number(kind):
        return memoryview(array.to_numpy()).__getitem__
    shape, values = [len(array)], array
    while pa.types.is_fixed_size_list(values.type):
        shape.append(values.type.list_size)
        values = values.flatten()
    if len(shape) > 1 and _is_number(values.type):
        table = values.to_numpy().reshape(shape)
        return lambda index: table[index]
    if pa.types.is_list(kind) and _is_number(kind.value_type):
        values, ends = array.values.to_numpy(), memoryview(array.offsets.to_numpy())
        return lambda index: values[ends[index] : ends[index + 1]]
    return lambda index: array[index].as_py()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
