"""The contract of inputs: how rows of one modality become what a model reads.

As in `kinds/contract.py`, heavy libraries are imported inside the functions that use them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from finegrid.models.anatomy import Anatomy, Reads
from kinds.inputs.parts import Composed, Examined, Facts

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from finegrid.records.encoded import Processor
    from finegrid.records.specification import Model
    from kinds.inputs.duplicates import Comparison

Example = dict[str, Any]
"""One encoded example: a name, as the model calls it, and its values."""
Unit = Literal["token", "pixel", "frame", "row"]


class Inputs(ABC):
    """How rows of one modality become what a model reads. A subclass is a frozen dataclass."""

    modality: ClassVar[Reads]
    """What is read: a model is refused whose architecture reads another modality."""
    unit: ClassVar[Unit]
    """What the size of an example counts."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Columns of the schema that a task may lack."""
    composed: ClassVar[Mapping[str, Composed]] = {}
    """Columns of a table that all of the kind's are made of."""
    packages: ClassVar[tuple[str, ...]] = ()
    """The distributions that encode: an encoding names their versions."""
    part: ClassVar[str | None] = None
    """The part of a repository's processor that encodes, such as `image_processor`: a model's
    record holds what the repository says of it. None where no such part has a say."""

    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns of a task's rows that are read, in their order."""

    def problems(self, rows: pa.Table) -> Iterator[str]:
        """What is wrong with the values of a split whose columns have the types of the schema."""
        yield from ()

    @abstractmethod
    def compare(self) -> Comparison:
        """What exact and near duplicates are for these inputs."""

    def is_readable(self, start: bytes) -> bool:
        """Whether the first bytes of a file are those of one; asked where rows are whole files."""
        return True

    def examine(self, content: bytes) -> Examined:
        """What a whole file holds, or what is wrong with it; asked where rows are whole files."""
        return Examined()

    def remarks(self, facts: Sequence[Facts]) -> Iterator[str]:
        """What a user should know of the files of a task, by what is known of each."""
        yield from ()

    def configure(self) -> dict[str, Any]:
        """What the model's configuration has to say to read these inputs."""
        return {}

    def unfit(self, model: Model, anatomy: Anatomy) -> str | None:
        """Why a model of the right modality cannot read these inputs; None where it can."""
        return None

    @abstractmethod
    def processor(self, folder: Path) -> Any:
        """What encodes for the model in a folder; None where the model has no say."""

    @abstractmethod
    def planned(self, model: Model) -> Processor | None:
        """What of a model's specification decides its processor; None where it has no say.

        It is equal for models that encode alike, and never for two that do not: what the
        specification leaves open, the model's key stands for.
        """

    @abstractmethod
    def made_of(self, folder: Path) -> Processor | None:
        """What the processor of a prepared model is made of; None where it has no say.

        It is equal where `planned` is.
        """

    def fillers(self, processor: Any) -> dict[str, int]:
        """What pads each value of an example to the batch's longest, where it is not 0."""
        return {}

    @abstractmethod
    def encode(self, rows: pa.Table, processor: Any, max_length: int) -> list[Example]:
        """One example a row, of at most `max_length` units where their number varies.

        Several where the inputs divide a row. The rows have the columns of the output too: a
        language model reads what it learns to say. Encoding is pure: equal arguments give equal
        examples. Raises ValueError for a length that leaves nothing of an example.
        """

    def begins(self, example: Example) -> bool:
        """Whether an encoded example is the first of its row."""
        return True

    @abstractmethod
    def encoded(self, example: Example) -> pa.Schema:
        """The Arrow types of the values of an encoded example, such as this one.

        Numbers are read as Python's own, lists of numbers as numpy's arrays.
        """

    @abstractmethod
    def size(self, example: Example) -> int:
        """The units of an encoded example: batches are made of examples of like size."""

    def counts(self, model: Model) -> str | None:
        """What `max_length` counts, where a benchmark has to say it: its default is one of texts.

        None where the default will do.
        """
        return None

    @property
    def divides(self) -> bool:
        """Whether a row may become several examples, side by side; scores count rows."""
        return False

    @property
    def packs(self) -> bool:
        """Whether several examples of the training split become one."""
        return False

    def joined(self, examples: Sequence[Example]) -> Example:
        """One example of several, none of which has a part in what a model says of another."""
        raise NotImplementedError(f"{type(self).__name__} packs no examples")

    def left_out(self, example: Example) -> int:
        """The units of its row that an encoded example lacks, where that is counted."""
        return 0

    def unknown(self, example: Example, processor: Any) -> int:
        """The units of an encoded example that stand for what the model has no unit for."""
        return 0

    @abstractmethod
    def longest(self, max_length: int, model: Model) -> int:
        """The most units that an example may have for a model."""

    def units(self, examples: int, file_bytes: int, max_length: int, model: Model) -> int:
        """A bound of the units of a split, of which rows and bytes of its file are known."""
        return examples * self.longest(max_length, model)

    def positions(self, units: int, model: Model) -> int:
        """A bound of the vectors that the first block of a model makes of so many units."""
        return units

    def before_blocks(self, units: int, model: Model) -> int:
        """A bound of the numbers that a model keeps of so many units before its first block."""
        return 0

    @abstractmethod
    def unit_bytes(self, model: Model) -> int:
        """A bound of what the host holds of a unit on its way from the file to a tensor."""

    @abstractmethod
    def collate(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """The model's inputs, (batch, ...), padded to the largest example, with their mask."""

    def prompts(
        self, examples: Sequence[Example], fillers: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """What a model that writes is given to start from: by default all that it reads."""
        return self.collate(examples, fillers)

    @abstractmethod
    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """A batch of `count` examples of `size` units, of a real batch's shapes and types.

        A trace reads no values. The configuration is the model's own, `model.config`.
        """
