"""The contract that every kind fulfils: inputs, an output, and the kind that composes the two.

Modules of this room are read by the planner, which must start fast: they import numpy, pyarrow,
torch and transformers inside the functions that use them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from finegrid.models.anatomy import Anatomy, Reads
from finegrid.models.blueprint import Purpose

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn

    from finegrid.records.encoded import Processor
    from finegrid.records.specification import Model
    from kinds.inputs.duplicates import Comparison

Example = dict[str, Any]
"""One encoded example: a name, as the model calls it, and its values."""
Row = dict[str, Any]
"""One example among the predictions, in plain values that JSON and parquet hold."""
Unit = Literal["token", "pixel", "frame", "row"]
Facts = Mapping[str, float]
"""What is known of a whole file, such as how long a recording lasts."""


@dataclass(frozen=True)
class Examined:
    """A whole file that was read to its end."""

    problem: str | None = None
    """Why no example can be made of it; None where one can."""
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Examples as tensors, their first dimension the batch."""

    inputs: dict[str, torch.Tensor]
    """What the model is called with, by keyword."""
    targets: dict[str, torch.Tensor]
    """What the loss compares with."""

    def to(self, device: torch.device) -> Batch:
        """The batch on the device."""
        inputs, targets = (
            {name: tensor.to(device) for name, tensor in part.items()}
            for part in (self.inputs, self.targets)
        )
        return Batch(inputs, targets)


class Inputs(ABC):
    """How rows of one modality become what a model reads. A subclass is a frozen dataclass."""

    modality: ClassVar[Reads]
    """What is read: a model is refused whose architecture reads another modality."""
    unit: ClassVar[Unit]
    """What the size of an example counts."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Columns of the schema that a task may lack."""
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

        Encoding is pure: equal arguments give equal examples. Raises ValueError for a length that
        leaves nothing of an example.
        """

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

    @abstractmethod
    def blank(self, count: int, size: int, configuration: Any) -> dict[str, torch.Tensor]:
        """A batch of `count` examples of `size` units, of a real batch's shapes and types.

        A trace reads no values. The configuration is the model's own, `model.config`.
        """


class Output(ABC):
    """What a model learns, and how its outputs become predictions. A frozen dataclass."""

    metrics: ClassVar[tuple[str, ...]]
    """The metrics of a task that names none; the first decides."""
    truths: ClassVar[Literal["classes", "numbers"]]
    """What is true of an example: a metric may be defined on one of them alone."""
    predictor: ClassVar[str]
    """What the trivial predictor says of every example, in words."""
    scored_as: ClassVar[type]
    """What a label and a prediction are to a metric; parquet may hold them as floats."""

    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns of a task's rows that hold what is true."""

    @abstractmethod
    def predicted(self) -> pa.Schema:
        """The columns of `predictions.parquet` beside split and id: `label`, `prediction`, and
        what the prediction is decided by."""

    @abstractmethod
    def label_problem(self, labels: Sequence[str]) -> str | None:
        """Why a task cannot have these labels; None where they fit."""

    @abstractmethod
    def problems(self, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
        """What is wrong with what is true in a split."""

    @abstractmethod
    def counts(self, rows: pa.Table, labels: Sequence[str]) -> dict[str, int]:
        """How often each label occurs in a split; empty where labels have no names."""

    @abstractmethod
    def width(self, labels: Sequence[str]) -> int:
        """How many numbers the head gives at each place that it predicts."""

    def configure(self, labels: Sequence[str]) -> dict[str, Any]:
        """What the model's configuration has to say for it."""
        return {"num_labels": self.width(labels)}

    @abstractmethod
    def encode(self, rows: pa.Table, inputs: Sequence[Example], processor: Any) -> list[Example]:
        """Targets, one a row, aligned with the encoded inputs of the same rows."""

    @abstractmethod
    def encoded(self, target: Example) -> pa.Schema:
        """The Arrow types of the values of a target, as of encoded inputs."""

    @abstractmethod
    def weight(self, target: Example) -> int:
        """How many terms of the loss an example brings."""

    @abstractmethod
    def collate(self, targets: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Targets as tensors, (batch, ...)."""

    @abstractmethod
    def blank(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Targets for blank inputs, of a real batch's shapes and types."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The loss (), summed over all terms of the batch, in fp32."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> list[Row]:
        """What the model says of each example, in fp32 and on the host."""

    @abstractmethod
    def decide(self, said: Sequence[Row]) -> list[Any]:
        """The predictions that follow from what the model says, which a file may have held.

        Raises ValueError where nothing follows.
        """

    @abstractmethod
    def truth(self, target: Example) -> Any:
        """What is true of an example, as a metric reads it."""

    @abstractmethod
    def trivial(self, truths: Sequence[Any], labels: Sequence[str]) -> Any:
        """The one prediction that does without inputs, from what is true in the training split."""


class Kind(ABC):
    """A kind of task. A subclass is a frozen dataclass that gives both parts as attributes."""

    loader: ClassVar[str | None]
    """The auto class of transformers whose models learn it, by its name; None where a plain stack
    of layers alone does."""

    @property
    def purpose(self) -> Purpose:
        """What a model of the kind is for."""
        return Purpose(self.loader, self.inputs.modality)

    def configure(self, labels: Sequence[str]) -> dict[str, Any]:
        """What the model's configuration has to say for a task with these labels."""
        return self.inputs.configure() | self.output.configure(labels)

    @property
    @abstractmethod
    def inputs(self) -> Inputs:
        """What goes into a model."""

    @property
    @abstractmethod
    def output(self) -> Output:
        """What comes out."""
