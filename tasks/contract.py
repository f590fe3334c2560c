"""The contract that every task fulfils.

Modules of this room are read by the planner, which must start fast: they import pandas, pyarrow and
numpy inside the functions that use them, and never torch, transformers or datasets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ConfigDict, JsonValue

from finegrid.records.prepared import SplitName
from finegrid.records.specification import Source
from kinds.registry import kind_named, with_labels

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Task(ABC):
    """A data set with its splits. A subclass is a frozen dataclass whose fields are its options.

    Fields carry their constraints (`Annotated[int, Field(ge=1)]`); the planner checks them. A
    subclass gives `kind` and `labels`, and `metrics` and `input_size` where it knows them, as plain
    class attributes or as properties.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    @property
    @abstractmethod
    def kind(self) -> str:
        """The registered kind: what goes in and what comes out; it decides the model's head."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Class names by index; empty where the kind names none."""

    @property
    def input_size(self) -> int | None:
        """How many numbers an example has; None for text, or where only the data tell."""
        return None

    @property
    def kind_options(self) -> Mapping[str, JsonValue]:
        """What the task says of its kind, by the fields of the kind's class."""
        return with_labels(self.kind, {}, self.labels)

    @property
    def unpacks(self) -> bool:
        """Whether an archive among its files is read as the folder that it unpacks to."""
        return False

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of registered metrics, the kind's own by default; the first decides."""
        return kind_named(self.kind, self.kind_options).output.metrics

    @property
    def remarks(self) -> tuple[str, ...]:
        """What has to be said wherever scores of the task stand, each a line; most need nothing."""
        return ()

    def files(self) -> tuple[str, ...] | None:
        """The files needed from the source, or None for all that the source names.

        () stands for a task whose options hold the data: it has no source.
        """
        return None

    @property
    def requires(self) -> Mapping[str, str]:
        """Python packages that its data are read with, beside finegrid's own: import name -> how
        it is installed.
        """
        return {}

    def beside(self) -> Mapping[str, tuple[Source, tuple[str, ...] | None]]:
        """Further sources, with the files needed of each, by the folder that they are fetched to.

        The folders lie in that of the task's own source. Such a source is one of the options. None
        stands for all files that a source names.
        """
        return {}

    @abstractmethod
    def read(self, folder: Path) -> Mapping[SplitName, pd.DataFrame | pa.Table]:
        """The three splits, from a folder with the fetched files: data frames, or Arrow tables.

        Columns: `id` (text, unique over all splits), and those of the kind's inputs and output.
        The same options give the same rows in the same order on every machine. Raises ValueError
        where the data does not allow what the options ask for, and OSError where a file cannot be
        read.
        """

    def dropped(self, folder: Path) -> Mapping[str, int]:
        """How many examples of the source are in no split, by the reason; empty: not counted."""
        return {}
