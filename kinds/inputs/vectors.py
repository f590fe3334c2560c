"""Rows of numbers, as many in each: what flat images and rows of a table share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.models.anatomy import Reads
from kinds.contract import Example, Inputs, Unit

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray

    from finegrid.records.specification import Model

_VALUE_BYTES = 24
"""Of a number on the host, on its way from the file to a tensor."""


@dataclass(frozen=True)
class Vectors(Inputs):
    """A row of 32-bit floats an example, in one column."""

    modality: ClassVar[Reads] = "numbers"
    unit: ClassVar[Unit] = "row"
    column: ClassVar[str]

    def schema(self) -> pa.Schema:
        """One column of lists."""
        import pyarrow as pa

        return pa.schema([(self.column, pa.list_(pa.float32()))])

    def problems(self, rows: pa.Table) -> Iterator[str]:
        """Rows of different lengths, or of numbers that are not allowed."""
        import pyarrow.compute as pc

        lengths = set(pc.list_value_length(rows[self.column]).unique().to_pylist())
        if len(lengths) != 1:
            yield f"rows of {sorted(lengths)} {self.column}"
        elif wrong := self.wrong(self.vectors(rows)):
            yield f"{self.column} {wrong}"

    @abstractmethod
    def wrong(self, values: NDArray[Any]) -> str | None:
        """What is wrong with some of the numbers, or None."""

    def vectors(self, rows: pa.Table) -> NDArray[Any]:
        """The numbers (rows, features), in little-endian order on every machine."""
        flat = rows[self.column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        found: NDArray[Any] = flat.astype("<f4").reshape(rows.num_rows, -1)
        return found

    def processor(self, folder: Path) -> None:
        """None: numbers are read as they are."""

    def planned(self, model: Model) -> None:
        """None, whatever the model."""

    def made_of(self, folder: Path) -> None:
        """None as well."""

    def encode(self, rows: pa.Table, processor: None, max_length: int) -> list[Example]:
        """The numbers of each row; none is cut."""
        return [{"features": row} for row in self.vectors(rows)]

    def encoded(self, example: Example) -> pa.Schema:
        """As many 32-bit floats in each row."""
        import pyarrow as pa

        return pa.schema([("features", pa.list_(pa.float32(), len(example["features"])))])

    def size(self, example: Example) -> int:
        """1: all rows are alike."""
        return 1

    def longest(self, max_length: int, model: Model) -> int:
        """1 as well."""
        return 1

    def unit_bytes(self, model: Model) -> int:
        """Those of a row. Raises ValueError for a model that does not say how long a row is."""
        if model.input_size is None:
            raise ValueError(f"model {model.name!r} reads no rows of numbers")
        return _VALUE_BYTES * model.input_size

    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Features (batch, features)."""
        import numpy as np
        import torch

        return {"features": torch.tensor(np.stack([one["features"] for one in examples]))}

    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """Zeros (count, features)."""
        import torch

        return {"features": torch.zeros(count, configuration.layers[0])}
