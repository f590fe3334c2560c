"""Prepared examples, encoded for a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from finegrid.models.loading import CorruptedFileError
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import SPLITS, PreparedTask, SplitName
from kinds.contract import Batch, Example, Kind
from kinds.registry import kind_named


@dataclass(frozen=True)
class Examples:
    """One split: identities, and encoded inputs and targets by index."""

    kind: Kind
    ids: Sequence[str]
    inputs: Sequence[Example]
    targets: Sequence[Example]
    processor: Any = None
    """What pads the inputs, where the model has a say in it."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def sizes(self) -> list[int]:
        """The units of each example."""
        return [self.kind.inputs.size(one) for one in self.inputs]

    @cached_property
    def weights(self) -> list[int]:
        """How many terms of the loss each example brings."""
        return [self.kind.output.weight(one) for one in self.targets]

    @cached_property
    def truths(self) -> list[Any]:
        """What is true of each example."""
        return [self.kind.output.truth(one) for one in self.targets]

    def batch(self, indices: Sequence[int]) -> Batch:
        """These examples, padded to the largest of them."""
        inputs, targets = [self.inputs[i] for i in indices], [self.targets[i] for i in indices]
        return Batch(
            self.kind.inputs.collate(inputs, self.processor), self.kind.output.collate(targets)
        )


def load_examples(
    folder: Path,
    task: PreparedTask,
    model_folder: Path,
    max_length: int,
    names: Sequence[SplitName] = SPLITS,
) -> dict[SplitName, Examples]:
    """Splits of a prepared task, encoded for the model in `model_folder`; no other is read.

    Texts are cut to `max_length` tokens. Raises CorruptedFileError for a changed file, and
    UnknownNameError for a kind that is not registered.
    """
    tables = {name: _read_split(folder, task, name) for name in names}
    kind = kind_named(task.kind)
    processor = kind.inputs.processor(model_folder)
    found: dict[SplitName, Examples] = {}
    for name, rows in tables.items():
        inputs = kind.inputs.encode(rows, processor, max_length)
        targets = kind.output.encode(rows, inputs, processor)
        found[name] = Examples(kind, rows["id"].to_pylist(), inputs, targets, processor)
    return found


def _read_split(folder: Path, task: PreparedTask, name: SplitName) -> pa.Table:
    path = folder / f"{name}.parquet"
    found = file_sha256(path)
    expected = task.splits[name].file_sha256
    if found != expected:
        raise CorruptedFileError(path, f"sha256 {found}, recorded {expected}")
    return pq.read_table(path)
