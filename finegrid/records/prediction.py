"""What is asked about the memory of a training step, and what a trace of it answers."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from finegrid.records.base import Positive, Record
from finegrid.records.specification import Specification


class Question(Record):
    """The step to trace: a specification, and its micro-batch as (examples, padded tokens)."""

    spec: Specification
    batch: tuple[Positive, Positive]
    terms: Positive | None = Field(default=None, exclude_if=lambda value: value is None)
    """The most terms of the loss that an example of it brings, where targets are padded apart from
    their inputs; None: as many as tokens."""
    drawn_modules: tuple[str, ...] = ()
    """Modules that the model's checkpoint lacks, and that count as the head for it."""


class Prediction(Record):
    """Peak bytes of live tensor storage in forward, backward and optimizer step, or why not."""

    peak_bytes: Annotated[int, Field(ge=0)] | None
    reason: str | None = None
    run_fails: bool = False
    """Whether the reason is an error that the run itself would end with."""

    @model_validator(mode="after")
    def _missing_is_explained(self) -> Self:
        if (self.peak_bytes is None) != (self.reason is not None):
            raise ValueError("peak_bytes or reason is required, and only one of them")
        return self
