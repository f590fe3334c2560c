"""`result.json`: what a run found. The only source of truth for every table and plot."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue, model_validator

from finegrid.records.base import Name, Positive, Record, Sha256
from finegrid.records.costs import Count, Inference, Memory, Time
from finegrid.records.identity import content_hash, file_sha256
from finegrid.records.specification import Specification
from finegrid.records.training import Training

State = Literal["ok", "oom", "diverged", "undefined", "failed"]
"""`undefined`: training was finite, and the metric has no value on what the kept state predicts."""
Edge = Literal["lower", "upper"]
Values = dict[str, JsonValue]
"""Tuned keys with the values that a trial gives them."""

RESULT_FILE = "result.json"
FAILURE_FILE = "failure.json"
"""The record of a failed run: Snakemake deletes the declared outputs of a failed job."""
SPECIFICATION_FILE = "specification.json"
PREDICTIONS_FILE = "predictions.parquet"
HISTORY_FILE = "history.jsonl"
DELTA_FILE = "delta.safetensors"
_SEAL = "record_sha256"
_VERSIONS = (1, 2)
_WITHOUT_GRADIENTS = "measured by version 1, without the gradients that micro-batches add up"


def is_as_written(content: bytes) -> bool:
    """Whether what cannot be read may be as it was written: JSON whose seal is its own.

    A record of another version is, with or without a seal.
    """
    try:
        plain = json.loads(content)
    except ValueError:
        return False
    if not isinstance(plain, dict):
        return False
    seal = plain.pop(_SEAL, None)
    if seal is None:
        return plain.get("schema_version") not in _VERSIONS
    return bool(seal == content_hash(plain))


class Score(Record):
    """A metric on a set of examples."""

    value: float
    n: Annotated[int, Field(ge=1)]
    standard_error: Annotated[float, Field(ge=0)] | None = None
    """Of the value, over the examples; null where none is known, and in records from before."""


class Trial(Record):
    """A trial of a tuning: what it tried, how it ended, and its score on validation."""

    run: Name
    values: Values
    state: State
    reason: str | None = None
    score: Score | None = None


class Choice(Record):
    """What the tuning of a cell chose, with the whole ledger."""

    schema_version: Literal[1] = 1
    key: Name
    metric: str
    """What the trials are scored by."""
    trials: Annotated[tuple[Trial, ...], Field(min_length=1)]
    """Every trial that was spent, in ascending order of the learning rate."""
    chosen: Values | None
    """The tuned values of the trial that the rule takes; null where no trial has a score."""
    chosen_run: Name | None
    rule: Literal["best", "one-standard-error"] = "best"
    """The best score, or the lowest learning rate within one standard error of it."""
    best_run: Name | None = None
    """The trial with the best score; null in a record from before there were two rules."""
    standard_error: Annotated[float, Field(ge=0)] | None = None
    """Of the best score, over its validation items; null by the rule `best`."""
    edge: Edge | None
    """The edge of the learning rates that were tried at which the best score lies."""
    grown: Count = 0
    """How many of the trials were added because the best of the others lay at an edge."""


class Trivial(Record):
    """What predicts one label for every example: no input is read, and nothing is trained.

    The most frequent class of the training split, of equals the first, or the mean of its labels.
    """

    predictor: str
    """In the words of the task's kind: majority class, mean."""
    prediction: float
    """The index of the class, or the mean."""
    test: dict[str, Score | None]
    """Its scores; null where a metric has no value for a constant, as a correlation has none."""


class Metrics(Record):
    """Scores by metric name. `primary` is what models are compared by, on test.

    On validation it decides the checkpoint, unless another metric does.
    """

    primary: str
    selected_by: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """The metric that decided on validation, where that is not the primary one."""
    validation: dict[str, Score]
    test: dict[str, Score]
    """Empty for a trial, which never reads the test split."""
    best_step: Count
    """The optimizer step whose state was kept and scored on test."""
    counted: dict[str, Count] = Field(default={}, exclude_if=lambda value: not value)
    """What a reader has to know of the examples and of the predictions on test, and of how many."""
    trivial: Trivial | None = None
    """What any score on test has to be above; null for a trial, where there is none, and in older
    records."""

    @property
    def selector(self) -> str:
        """The metric that decided on validation."""
        return self.selected_by or self.primary

    def deciding(self, split: Literal["validation", "test"]) -> str:
        """The metric that decides on a split."""
        return self.selector if split == "validation" else self.primary


class Parameters(Record):
    """Parameter counts. `trainable` is the sum of its split."""

    base: Count
    """Parameters of the model before the method, with the task's head."""
    trainable: Count
    expected: Count
    """The method's closed form plus the head; a run whose live count differs fails."""
    adapter: Count
    """Trainable parameters that the method added."""
    head: Count
    norm: Count
    bias: Count
    embedding: Count
    rest: Count
    """Trainable weights of the base that are none of the above."""
    stored: Count
    """Numbers in the file of the delta: without what only training needs, with frozen additions."""
    stored_bytes: Count
    """Size of that file, in bytes."""

    @model_validator(mode="after")
    def _split_sums_up(self) -> Self:
        parts = self.adapter + self.head + self.norm + self.bias + self.embedding + self.rest
        if parts != self.trainable:
            raise ValueError(f"the split sums to {parts}, trainable is {self.trainable}")
        return self


class Losses(Record):
    """The training loss over the optimizer steps: each a mean over the examples of a batch."""

    first: float
    mean: float
    final: float
    """The mean over the last tenth of the steps."""
    last: float


class Norms(Record):
    """A gradient's Euclidean norm before clipping, over the optimizer steps."""

    first: float
    minimum: float
    median: float
    maximum: float
    last: float


class Gradients(Norms):
    """The norm of the whole gradient, and of each layer's part of it."""

    layers: dict[str, Norms] = {}
    """Layer, in the order of the model -> its norms."""


class Machine(Record):
    """Where a run ran."""

    hostname: str
    system: str
    processor: str
    cores: Count
    memory_bytes: Count
    accelerator: str | None


class Provenance(Record):
    """What it takes to run it again."""

    git_commit: str | None
    git_dirty: bool | None
    source_digest: Sha256
    packages: dict[str, str]
    python: str
    machine: Machine
    device: str
    threads: Count
    dtype: str
    deterministic: bool
    seeds: dict[str, int]
    data_sha256: Sha256 | None
    """The prepared task's fingerprint; null where the run ended before it was read."""
    model_sha256: Sha256 | None
    """Hash of the base weights as loaded, before the head and the method; null as above."""
    drawn_modules: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Modules that the checkpoint lacks, and that count as the head for it."""
    stripped: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """Words of a wrapper that were taken off the names of the checkpoint's weights."""
    dequantised: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """What the checkpoint's weights were de-quantised from, where a file held them in few bits."""
    task_remarks: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """What a reader of the scores has to know of the task, as the scheme of its tags."""
    started_at: str
    """UTC, ISO 8601."""


class Tracking(Record):
    """The mirror in Weights & Biases."""

    run_id: str
    mode: str
    warning: str | None = None
    """Why the mirror is missing or incomplete."""


class Result(Record):
    """One run's outcome. A part that does not exist is null, and `reason` says why.

    A record with a hash of its own that it does not have is refused, and the error names both.
    One of version 1 is read as one of version 2, to which its hash does not belong.
    """

    schema_version: Literal[1, 2] = 2
    run: Name
    spec: Specification
    state: State
    reason: str | None = None
    failed_step: Count | None = None
    """The optimizer step at which training ended early."""
    tuning: Choice | None = None
    """Where the tuned values of a tuned run come from."""
    metrics: Metrics | None = None
    parameters: Parameters | None = None
    memory: Memory | None = None
    memory_reason: str | None = None
    time: Time | None = None
    inference: Inference | None = None
    costs_of: Name | None = Field(default=None, exclude_if=lambda value: value is None)
    """The run of the cell that measured memory and inference; null where this run did."""
    derived: dict[str, JsonValue] = Field(default={}, exclude_if=lambda value: not value)
    """Settings of the method that follow from the number of optimizer steps."""
    losses: Losses | None = None
    gradients: Gradients | None = None
    provenance: Provenance
    tracking: Tracking | None = None
    micro_batch_size: Positive | None = None
    """The one that was really used, where memory ran out with the specification's own."""
    micro_batch_units: Positive | None = Field(default=None, exclude_if=lambda value: value is None)
    """Likewise."""
    resumed_at_steps: tuple[Count, ...] = ()
    """The optimizer steps after which an interrupted run went on."""
    files: dict[str, Sha256] = {}
    """File beside the record -> hash of its bytes."""
    record_sha256: Sha256 | None = None
    """Hash of this record's canonical JSON without this key."""

    @property
    def used_micro_batches(self) -> dict[str, int]:
        """Key of `training` -> what was really used, where memory ran out with what was asked."""
        keys = ("micro_batch_size", "micro_batch_units")
        return {key: value for key in keys if (value := getattr(self, key)) is not None}

    def sealed(self) -> Self:
        """The record with its own hash."""
        plain = json.loads(self.model_dump_json(exclude={_SEAL}))
        return self.model_copy(update={_SEAL: content_hash(plain)})

    def damaged_files(self, folder: Path, names: Collection[str] | None = None) -> list[str]:
        """What the files of the record in its folder have become: gone, or of another hash.

        Of all of them, unless names are given.
        """
        return [
            text
            for name, recorded in self.files.items()
            if (names is None or name in names) and (text := _damage(folder / name, recorded))
        ]

    @model_validator(mode="after")
    def _is_as_it_was_written(self) -> Self:
        if self.record_sha256 is None:
            return self
        # Of the keys that were given: those that later versions add have no part in it.
        plain = self.model_dump(mode="json", exclude={_SEAL}, exclude_unset=True)
        found = content_hash(plain)
        if found != self.record_sha256:
            raise ValueError(f"the record's sha256 is {found}, recorded {self.record_sha256}")
        return self

    @model_validator(mode="after")
    def _state_is_explained(self) -> Self:
        if self.run != self.spec.run:
            raise ValueError(f"run {self.run!r} is not the identity of its spec, {self.spec.run!r}")
        if self.state != "ok" and not self.reason:
            raise ValueError(f"state {self.state} needs a reason")
        if self.state == "ok" and self.metrics is None:
            raise ValueError("an ok run has metrics")
        return self

    @model_validator(mode="after")
    def _role_is_kept(self) -> Self:
        run = self.spec.role == "run"
        if self.state == "ok" and run and self.parameters is None:
            raise ValueError("an ok run has parameters")
        if self.metrics is not None and run != bool(self.metrics.test):
            raise ValueError("a run has a test score and a trial has none")
        if self.state == "ok" and self.spec.tuning is not None and self.tuning is None:
            raise ValueError("a tuned run has its choice")
        return self

    @model_validator(mode="after")
    def _is_of_this_version(self) -> Self:
        """Version 1 took all gradients off a peak at which they were not all there."""
        if self.schema_version == 2:
            return self
        changes: dict[str, Any] = {"schema_version": 2, _SEAL: None}
        if self.memory is not None and self._adds_up_gradients():
            changes |= {"memory": None, "memory_reason": _WITHOUT_GRADIENTS}
        elif self.memory is not None:
            changes["memory"] = _with_activations(self.memory, self.spec.training)
        return self.model_copy(update=changes)

    def _adds_up_gradients(self) -> bool:
        chosen = (self.tuning and self.tuning.chosen) or {}
        training = self.spec.training.model_dump() | chosen
        micro_batch_size = self.micro_batch_size or training["micro_batch_size"]
        return bool(micro_batch_size and micro_batch_size < training["batch_size"])


def _with_activations(memory: Memory, training: Training) -> Memory:
    """What version 1 measured, with the activations that its peak of forward allows."""
    present = memory.weights_bytes + memory.optimizer_bytes
    if training.devices > 1 and training.strategy == "ddp":
        present += memory.gradients_bytes  # they stay, as what the devices exchange them in
    activations = max(0, memory.peak_forward_bytes - present)
    return memory.model_copy(update={"activations_bytes": activations})


def _damage(path: Path, recorded: str) -> str | None:
    if not path.exists():
        return f"{path.name} is missing"
    found = file_sha256(path)
    return None if found == recorded else f"{path.name}: sha256 {found}, recorded {recorded}"
