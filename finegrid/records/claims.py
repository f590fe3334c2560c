"""Claims: statements about methods, and the tests on a benchmark's runs that decide them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from finegrid.records.base import Name, Record

ALONG_PATTERN = r"^(options|settings)\.[a-z_]+$"
Names = Annotated[tuple[Name, ...], Field(min_length=1)]
Measure = Literal[
    "trainable_parameters",
    "stored_bytes",
    "peak_training_bytes",
    "activations_bytes",
    "train_seconds",
    "step_median_seconds",
    "inference_unmerged_seconds",
    "inference_merged_seconds",
    "inference_base_seconds",
    "inference_unmerged_to_base",
    "inference_merged_to_base",
]
"""Columns of the runs table that hold a cost, or its ratio to that of the plain base model."""
TO_BASE = ("inference_unmerged_to_base", "inference_merged_to_base")
"""Of these: ratios already, each of one run, timed in turns in one process."""
Figure = Literal["smallest-to-largest-block", "last-to-first-step", "largest-to-median-step"]
"""Ratios of gradient norms.

The median norms over the steps of the block with the smallest and of that with the largest, where
blocks are the numbered layers of a model, which are alike; the norms of the whole gradient at the
last step and at the first; its largest and its median norm.
"""


class Bounded(Record):
    """An effect is held against one bound: it is to lie below it, or above it."""

    below: float | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.below is None) == (self.above is None):
            raise ValueError("below or above is required, and only one of them")
        return self

    @property
    def bound(self) -> float:
        """What the effect is held against, in the unit of the effect."""
        return next(value for value in (self.below, self.above) if value is not None)


class BoundedRatio(Bounded):
    """A ratio is above 0, and so is its bound."""

    @model_validator(mode="after")
    def _bound_is_positive(self) -> Self:
        if self.bound <= 0:
            raise ValueError(
                f"below and above bound a ratio, {self.bound} is none; allowed: above 0"
            )
        return self


class RatioTest(BoundedRatio):
    """A cost of each variant, divided by that of the reference, on each task.

    A measure that is a ratio to the plain base model is divided by nothing, and has no reference.
    """

    kind: Literal["ratio"]
    model: Name
    tasks: Names
    variants: Names
    reference: Name | None = None
    measure: Measure
    reference_measure: Measure | None = None
    """Of the reference, where it is not the same."""

    @model_validator(mode="after")
    def _divided_once(self) -> Self:
        if self.measure in TO_BASE:
            if self.reference or self.reference_measure:
                raise ValueError(f"{self.measure} is a ratio to the base; allowed: no reference")
        elif self.reference is None:
            raise ValueError(f"reference is required of {self.measure}")
        return self


class DifferenceTest(Bounded):
    """The test score of each variant less that of the reference, on each task.

    `above: 0` is superiority, `above: -0.02` non-inferiority by a margin of 0.02; of a metric of
    which less is better they are `below: 0` and `below: 0.02`.
    """

    kind: Literal["difference"]
    model: Name
    tasks: Names
    variants: Names
    reference: Name


class TrendTest(Bounded):
    """How the difference to the reference changes with each doubling of a number.

    Along an option of the tasks the test is of each variant, along a setting of the variants it is
    on each task.
    """

    kind: Literal["trend"]
    model: Name
    tasks: Names
    variants: Names
    reference: Name
    along: Annotated[str, Field(pattern=ALONG_PATTERN)]
    """`options.<key>` of the tasks, or `settings.<key>` of the variants."""


class InteractionTest(Bounded):
    """The difference to the reference on the harder task less that on the easier one."""

    kind: Literal["interaction"]
    model: Name
    easier: Name
    harder: Name
    variants: Names
    reference: Name

    @property
    def tasks(self) -> tuple[str, str]:
        """Both tasks."""
        return self.easier, self.harder


class GradientTest(BoundedRatio):
    """A ratio of gradient norms of each variant, on each task.

    With a reference, divided by the same ratio of the reference under the same seed: a run that
    converges has a small last gradient, whatever the method.
    """

    kind: Literal["gradients"]
    model: Name
    tasks: Names
    variants: Names
    figure: Figure
    reference: Name | None = Field(default=None, exclude_if=lambda value: value is None)


Test = RatioTest | DifferenceTest | TrendTest | InteractionTest | GradientTest


class Claim(Record):
    """A statement, and what decides it."""

    id: Name
    statement: str
    holds: Literal["everywhere", "somewhere"] = "everywhere"
    """Whether the statement needs every one of its tests, or any of them."""
    tests: tuple[Annotated[Test, Field(discriminator="kind")], ...] = ()
    not_measured: str | None = None
    """Why there is no test."""

    @model_validator(mode="after")
    def _tested_or_not(self) -> Self:
        if bool(self.tests) == (self.not_measured is not None):
            raise ValueError("tests or not_measured is required, and only one of them")
        return self


class Claims(Record):
    """The claims of a benchmark."""

    table: Name | None = None
    """The name of their table's files; null for the benchmark's name with `-claims`."""
    hypotheses: tuple[Claim, ...]

    @model_validator(mode="after")
    def _claims_are_told_apart(self) -> Self:
        if not self.hypotheses:
            raise ValueError("hypotheses: there is none; allowed: at least one")
        names = [claim.id for claim in self.hypotheses]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"hypotheses: the id {twice!r} stands twice; allowed: once")
        return self
