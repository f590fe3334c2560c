"""The contract that every task fulfils.

Modules of this room are read by the planner, which must start fast: they import pandas and numpy
inside the functions that use them, and never torch, transformers or datasets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ConfigDict

from finegrid.records.prepared import SplitName, TaskKind

if TYPE_CHECKING:
    import pandas as pd


class Task(ABC):
    """A data set with its splits. A subclass is a frozen dataclass whose fields are its options.

    Fields carry their constraints (`Annotated[int, Field(ge=1)]`); the planner checks them. A
    subclass gives `kind`, `labels` and `metrics`, and `input_size` where it knows it, as plain
    class attributes or as properties.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    @property
    @abstractmethod
    def kind(self) -> TaskKind:
        """What goes in and what comes out; it decides the model's head."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Class names by index; empty for a regression."""

    @property
    def input_size(self) -> int | None:
        """How many numbers an example has; None for text, or where only the data tell."""
        return None

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of registered metrics; the first is the primary one, which decides."""

    def files(self) -> tuple[str, ...] | None:
        """The files needed from the source, or None for all that the source names.

        () stands for a task whose options hold the data: it has no source.
        """
        return None

    @abstractmethod
    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """The three splits, from a folder with the fetched files.

        Columns: `id` (text, unique over all splits), the inputs (`text` and optionally
        `text_pair`, or `pixels`: 32-bit floats in [0, 1], or `features`: any 32-bit floats; the
        same number of them in every row) and `label` (class index, or float for a regression).
        The same options give the same rows in the same order on every machine. Raises ValueError
        where the data does not allow what the options ask for, and OSError where a file cannot be
        read.
        """
