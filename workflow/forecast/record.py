"""What a forecast says, as JSON and in the terminal's tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from finegrid.records.base import Name, Record

Reason = Literal["new", "specification", "failed", "data", "source", "tuning"]
REASONS: dict[Reason, str] = {
    "new": "no record",
    "specification": "the record of this cell and seed is of another specification",
    "failed": "the run failed",
    "data": "the prepared task or model is absent, or is not the one of the record",
    "source": "the source that decides its numbers has changed since the record",
    "tuning": "a trial of its cell would run, or its choice is absent",
}
"""Why a run would run -> what that means. The first that holds is given."""

Count = Annotated[int, Field(ge=0)]
Hours = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class Job(Record):
    """A run or a trial of the plan."""

    run: Name
    role: Literal["run", "trial"]
    gpus: Count
    reason: Reason | None
    """Why it would run; null where it is done."""
    seconds: Seconds | None = None
    """What it would take, by the records; null where they do not tell, and where it is done."""
    scaled: bool = False
    """Whether these are the seconds of another cell, scaled by its work."""
    bound_seconds: Seconds | None = None
    """What a scheduler is asked for where no record tells the time; null before its task is
    prepared, and where it is done."""


class Work(Record):
    """Runs or trials: how many there are, how many would run and why, and the time they take."""

    planned: Count
    would_run: dict[Reason, Count]
    hours: Hours
    """Of those that would run and whose time is known, one after the other."""
    scaled: Count
    """How many of these times are those of another cell, scaled by its work."""
    unknown: Count
    """How many would run that no record tells the time of."""
    bounded: Count
    """How many of these have a bound."""
    bound_hours: Hours
    """What a scheduler is asked for them, one after the other; no part of `hours`."""

    @property
    def pending(self) -> int:
        """How many would run."""
        return sum(self.would_run.values())


class Peak(Record):
    """Peak bytes of live tensors in a training step."""

    batch: tuple[Count, Count]
    """The micro-batch, as (examples, padded tokens)."""
    measured_batch: bool
    """Whether a record says how long the longest micro-batch is; else it is the longest allowed."""
    predicted_bytes: Count | None
    instrument: Literal["trace", "bound"]
    """The step traced without numbers, or arithmetic on the specification, which is no less."""
    reason: str | None = None
    """Why it was not traced."""
    run_fails: bool = False
    """Whether that is an error which the run itself would end with."""
    measured_bytes: Count | None = None
    """The largest of the cell's records with that micro-batch."""


class CellForecast(Record):
    """A cell of the plan."""

    task: Name
    model: Name
    variant: Name
    method: str
    gpus: Count
    """Of each of its runs."""
    not_applicable: str | None = None
    runs: Work
    trials: Work
    jobs: tuple[Job, ...]
    """Each of them, in the order of the plan: trials, then runs."""
    peak: Peak | None = None
    """Of its runs, with what takes most of all that their tuning may choose."""
    fits: bool | None = None
    """Whether the peak fits the profile's device; null without one, for a run on the CPU, and where
    a bound by arithmetic does not fit: the step may take less."""

    @property
    def error(self) -> str | None:
        """What its runs would end with, as far as a trace of their step meets it."""
        return self.peak.reason if self.peak and self.peak.run_fails else None


class Forecast(Record):
    """What a benchmark would run, before anything is submitted."""

    schema_version: Literal[2] = 2
    benchmark: Name
    results: str
    device_memory_gb: float | None
    """Of the profile's device, in units of 10^9 bytes."""
    unchecked_models: tuple[Name, ...]
    """Those of done runs of which only loading them tells whether they are still the records'."""
    cells: tuple[CellForecast, ...]
    hours: Hours
    """Of all that would run and whose time is known, one after the other."""
    gpu_hours: Hours
    """The same, of each of their GPUs."""
    unknown: Count
    """How many would run that no record tells the time of."""
    bounded: Count
    """How many of these have a bound."""
    bound_hours: Hours
    """What a scheduler is asked for them, one after the other; no part of `hours`."""
    bound_gpu_hours: Hours
    """The same, of each of their GPUs; no part of `gpu_hours`."""
