"""The contract that every kind fulfils: inputs, an output, and the kind that composes the two.

Modules of this room are read by the planner, which must start fast: they import numpy, pyarrow,
torch and transformers inside the functions that use them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict

from finegrid.models.anatomy import Anatomy, Reads
from finegrid.models.blueprint import Purpose
from kinds.inputs.parts import Batch as Batch
from kinds.inputs.parts import Composed as Composed
from kinds.inputs.parts import Examined as Examined
from kinds.inputs.parts import Facts as Facts
from kinds.inputs.parts import RowError as RowError
from kinds.inputs.parts import SettingError as SettingError

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn

    from finegrid.records.encoded import Processor
    from finegrid.records.prepared import SplitName
    from finegrid.records.specification import Model
    from kinds.inputs.duplicates import Comparison

Example = dict[str, Any]
"""One encoded example: a name, as the model calls it, and its values."""
Row = dict[str, Any]
"""One example among the predictions, in plain values that JSON and parquet hold."""
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
    divides: ClassVar[bool] = False
    """Whether a row may become several examples, side by side; scores count rows."""
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
    def packs(self) -> bool:
        """Whether several examples of the training split become one."""
        return False

    def joined(self, examples: Sequence[Example]) -> Example:
        """One example of several, none of which has a part in what a model says of another."""
        raise NotImplementedError(f"{type(self).__name__} packs no examples")

    def left_out(self, example: Example) -> int:
        """The units of its row that an encoded example lacks, where that is counted."""
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


class Output(ABC):
    """What a model learns, and how its outputs become predictions. A frozen dataclass.

    A row of the predictions has three parts: what is true of the example, what is decided, and
    what the model said, by which it is decided.
    """

    metrics: ClassVar[tuple[str, ...]]
    """The metrics of a task that names none; the first decides."""
    truths: ClassVar[Literal["classes", "numbers", "texts", "tags", "choices", "spans"]]
    """What is true of an example: a metric may be defined on some of them alone."""
    lacking: ClassVar[str] = "examples are cut at max_length"
    """What is so of the examples of which anything is left out."""
    predictor: ClassVar[str | None] = None
    """What the trivial predictor says of every example, in words; None where there is none."""
    written: ClassVar[frozenset[str]] = frozenset()
    """The columns of the predictions that `write` gives: they cost a generation."""
    is_apart: ClassVar[bool] = False
    """Whether targets have lengths of their own, on which the memory of a step depends."""

    @abstractmethod
    def schema(self) -> pa.Schema:
        """The columns of a task's rows that hold what is true."""

    @abstractmethod
    def predicted(self) -> pa.Schema:
        """The columns of `predictions.parquet` beside split and id; null where nothing was said."""

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
        """How many numbers a new head gives at each place that it predicts; 0 without one."""

    def configure(self, labels: Sequence[str]) -> dict[str, Any]:
        """What the model's configuration has to say for it."""
        return {"num_labels": self.width(labels)}

    @abstractmethod
    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """Targets, one an encoded example of the same rows."""

    def joined(self, targets: Sequence[Example]) -> Example:
        """The target of several examples that are packed as one."""
        raise NotImplementedError(f"{type(self).__name__} packs no targets")

    def is_learnt(self, target: Example) -> bool:
        """Whether training takes an example: of several of a row at least one is taken."""
        return True

    def left_out(self, target: Example) -> int:
        """The terms of the loss that a target lacks, for the length holds no more of them."""
        return 0

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
    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """Targets for blank inputs, of a real batch's shapes, with at most so many terms each."""

    @abstractmethod
    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """One pass of the model over a batch: what loss and predictions are made of."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The loss (), summed over all terms of the batch, in fp32."""

    @abstractmethod
    def predict(self, model: nn.Module, batch: Batch) -> list[Row]:
        """What the model says of each example by one pass over it, in fp32 and on the host."""

    def write(self, model: Any, prompts: dict[str, torch.Tensor], processor: Any) -> list[Row]:
        """What the model writes after each prompt, step by step: the columns `written`."""
        raise NotImplementedError(f"{type(self).__name__} is no output that is written")

    @property
    def most_written(self) -> int:
        """Units that a model may write after an example; 0 for one that does not write."""
        return 0

    def validated(self, metrics: Sequence[str]) -> tuple[str, ...]:
        """The metrics on validation, of those of a task: the first decides which state is kept."""
        return tuple(metrics)

    def merged(
        self, said: Sequence[Row], inputs: Sequence[Example], targets: Sequence[Example]
    ) -> Row:
        """What the model says of a row, by what it says of each example that was made of it."""
        raise NotImplementedError(f"{type(self).__name__} merges nothing")

    @abstractmethod
    def truth(self, target: Example) -> Row:
        """What is true of an example, by column; of several of a row the first is asked."""

    @abstractmethod
    def decide(self, said: Sequence[Row]) -> list[Row]:
        """What follows from what the model says, which a file may have held, by column.

        Raises ValueError where nothing follows.
        """

    def counted(self, said: Sequence[Row]) -> dict[str, int]:
        """What a reader of the scores has to know of what the model says, and how often it is so.

        A key is a predicate of so many examples; what is so of none is left out.
        """
        return {}

    def restored(self, rows: Sequence[Row]) -> list[Row]:
        """Rows of a file as metrics read them, where parquet holds other types."""
        return list(rows)

    def trivial(self, truths: Sequence[Row], labels: Sequence[str]) -> Row:
        """The one prediction that does without inputs, from what is true in the training split."""
        raise NotImplementedError(f"{type(self).__name__} has no trivial predictor")


class Kind(ABC):
    """A kind of task. A subclass is a frozen dataclass that gives both parts as attributes.

    Its fields, if it has any, are what a task may say of it, such as `encoding`: both parts may be
    made of them. They carry their constraints, and the planner checks them. A field `labels` is
    filled with the names of a task's labels.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    loader: ClassVar[str | None]
    """The auto class of transformers whose models learn it, by its name; None where a plain stack
    of layers alone does."""

    makes_rows: ClassVar[bool] = False
    """Whether the rows of a task are made by `row` of what a user's files hold."""
    several: ClassVar[frozenset[str]] = frozenset()
    """Columns that several columns of a table may make together, where rows are made."""

    def row(self, values: Mapping[str, Any]) -> Row:
        """A row of a task, of the values of a user's row by column; a tuple is of several columns.

        Raises RowError.
        """
        raise NotImplementedError(f"{type(self).__name__} makes no rows")

    def found(self, splits: Mapping[SplitName, pa.Table]) -> dict[str, Any]:
        """What the rows of a task decide of the kind's fields, where its user leaves them open.

        Rows have a column `place`, too. Raises SettingError for a field that they contradict.
        """
        return {}

    def remarks(self) -> Iterator[str]:
        """What a reader of a task's scores has to know of the kind's fields, in half sentences."""
        yield from ()

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

    def metrics(self, columns: Collection[str]) -> tuple[str, ...]:
        """The metrics of a task that names none and has these columns."""
        return self.output.metrics
