"""Manifests of prepared tasks and models. Written last: their existence means completeness."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from records.base import Record, Sha256
from records.specification import Model, Task

MANIFEST_FILE = "manifest.json"
SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
TaskKind = Literal["text-classification", "text-regression", "image-classification"]


class Split(Record):
    """One split as it lies on disk, `<split>.parquet`."""

    n: Annotated[int, Field(ge=1)]
    sha256: Sha256
    """Hash of the rows: what the split holds, whatever wrote it."""
    file_sha256: Sha256
    """Hash of the file: whether it is still the one that was written."""
    label_counts: dict[str, int] = {}
    """Examples by label; empty for a regression."""


class Overlap(Record):
    """Inputs that two splits share, equal after the task's normalisation."""

    first: SplitName
    second: SplitName
    exact: Annotated[int, Field(ge=0)]


class PreparedTask(Record):
    """A task on disk: three parquet files with columns `id`, the inputs and `label`.

    Inputs are `text` and optionally `text_pair` for text, `pixels` (a list of floats in [0, 1])
    for images. `label` is a class index, or a float for a regression.
    """

    schema_version: Literal[1] = 1
    key: str
    spec: Task
    kind: TaskKind
    labels: tuple[str, ...]
    """Class names by index; empty for a regression."""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    """Metric modules to compute; the first is the primary one."""
    splits: dict[SplitName, Split]
    overlaps: tuple[Overlap, ...]
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
