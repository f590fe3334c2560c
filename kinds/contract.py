"""The contract that every kind fulfils: inputs, an output, and the kind that composes the two.

Modules of this room are read by the planner, which must start fast: they import numpy, pyarrow,
torch and transformers inside the functions that use them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict

from finegrid.models.blueprint import Purpose
from kinds.inputs.contract import Example as Example
from kinds.inputs.contract import Inputs as Inputs
from kinds.inputs.contract import Unit as Unit
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

    from finegrid.records.prepared import SplitName

Row = dict[str, Any]
"""One example among the predictions, in plain values that JSON and parquet hold."""


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

    def is_altered(self, target: Example, processor: Any) -> bool:
        """Whether a target that lacks nothing is learnt as something else than it says."""
        return False

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

    def conflict(self, columns: Collection[str]) -> tuple[str, str] | None:
        """The field that does not go with a task of these columns, and why; None where all do."""
        return None

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
