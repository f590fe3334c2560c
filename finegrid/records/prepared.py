"""Manifests of prepared tasks and models. Written last: their existence means completeness."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from finegrid.records.base import Record, Sha256
from finegrid.records.specification import Model, Task

MANIFEST_FILE = "manifest.json"
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class Split(Record):
    """One split as it lies on disk, `<split>.parquet`."""

    n: Annotated[int, Field(ge=1)]
    sha256: Sha256
    """Hash of the rows: what the split holds, whatever wrote it."""
    file_sha256: Sha256
    """Hash of the file: whether it is still the one that was written."""
    label_counts: dict[str, int] = {}
    """Examples by label; empty for a regression."""


class SharedExample(Record):
    """An example of one split and the one of another that is most like it, by their ids."""

    first: str
    second: str
    similarity: Annotated[float, Field(ge=0, le=1)]
    """As the overlap defines it, to four decimals; 1 for an exact duplicate."""


class Overlap(Record):
    """The examples of the split `second` that stand in the split `first` too, or nearly.

    Each counts once, as exact or else as near.
    """

    first: SplitName
    second: SplitName
    definition: str
    """What exact and near mean for these inputs."""
    exact: Annotated[int, Field(ge=0)]
    near: Annotated[int, Field(ge=0)] | None
    """Null where the definition knows no near duplicates."""
    fraction: Annotated[float, Field(ge=0, le=1)]
    """Exact and near together, of all examples of `second`."""
    examples: Annotated[tuple[SharedExample, ...], Field(max_length=5)]
    """The most similar."""


class PreparedTask(Record):
    """A task on disk: three parquet files with the column `id` and those of the task's kind."""

    schema_version: Literal[2] = 2
    key: str
    spec: Task
    kind: str
    """The registered kind: what goes in and what comes out."""
    kind_options: dict[str, JsonValue] = Field(default={}, exclude_if=lambda value: not value)
    """What the task says of its kind, by the fields of the kind's class."""
    labels: tuple[str, ...]
    """Class names by index; empty where a kind names none."""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the metrics to compute; the first is the primary one, which decides."""
    splits: dict[SplitName, Split]
    overlaps: tuple[Overlap, ...]
    """Each split with every earlier one. No part of the fingerprint: the data decide it alone."""
    dropped: dict[str, int] = Field(default={}, exclude_if=lambda value: not value)
    """How many examples of the source are in no split, by the reason, where the task counts."""
    remarks: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """What the task has to have said wherever its scores stand."""
    sha256: Sha256
    """Hash over the splits: the data's fingerprint."""


class PreparedModel(Record):
    """A base model on disk: weights, configuration and, for text, the tokenizer."""

    schema_version: Literal[1] = 1
    key: str
    spec: Model
    files: dict[str, Sha256]
    """File name in the folder -> hash of its bytes."""
    pretraining: dict[str, JsonValue] | None = None
    """What the pretraining reached on its own source task, where there was one."""
    drawn_modules: tuple[str, ...] = ()
    """Paths of the modules that the checkpoint lacks: a part of the head, which each run draws."""
    stripped: tuple[str, ...] = ()
    """Words of a wrapper that were taken off the names of the weights."""
    dequantised: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """What the weights were de-quantised from, where their file held them in few bits."""
