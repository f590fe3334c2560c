"""What the tests of a claim measure: one value a seed, from the runs of one benchmark."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd

from analysis.claims.evidence import Evidence, ok_runs
from analysis.claims.obstacles import obstacles
from analysis.frame import COSTS_OF, present
from analysis.metric import sign_of
from finegrid.records.claims import (
    DifferenceTest,
    GradientTest,
    InteractionTest,
    Measure,
    RatioTest,
    Test,
    TrendTest,
)
from finegrid.records.result import Gradients

Values = dict[int, float]
"""Seed -> value."""
CONSTANTS = {"trainable_parameters", "stored_bytes"}
"""Measures that depend on no machine and on no batch."""
TIMED = {name for name in get_args(Measure) if name.startswith("inference_")}
"""Measures that scatter, and that one run of a cell takes for all."""
_TIMED_APART = "both were timed once, each for itself: what is timed in turns ends in to_base"
NUMBERED = re.compile(r"\.\d+$")
"""The end of a block's name. Layers of other shapes have other norms for that alone."""


@dataclass(frozen=True)
class Point:
    """Of a trend: a task or a variant with its number, and the scores that it adds."""

    name: str
    number: float
    ours: Values
    """Of the variant."""
    theirs: Values
    """Of the reference."""

    def gap(self, seed: int) -> float:
        """The difference to the reference under a seed."""
        return self.ours[seed] - self.theirs[seed]


@dataclass(frozen=True)
class Sample:
    """A test at one place: what it measures under each seed, and the runs that this is from."""

    test: Test
    tasks: tuple[str, ...]
    variants: tuple[str, ...]
    rows: pd.DataFrame
    """The planned runs of the variants and of the reference on these tasks."""
    values: Values
    constant: bool = False
    """Whether the value is a ratio of constants, the same under every seed."""
    exploded: tuple[int, ...] = ()
    """The seeds whose run diverged: one decides a test for large gradients."""
    reasons: tuple[str, ...] = ()
    """Why it cannot be decided."""
    rounds: tuple[float, ...] = ()
    """Of a ratio that was measured once for all seeds, its value in each round of timing."""
    points: tuple[Point, ...] = ()
    """Of a trend, all that it follows, by ascending number; several may share one."""

    @property
    def logarithmic(self) -> bool:
        """Whether the values are ratios, whose mean is the geometric one."""
        return isinstance(self.test, RatioTest | GradientTest)

    @property
    def reference(self) -> str | None:
        """The variant that the others are compared with."""
        return self.test.reference


def samples(test: Test, evidence: Evidence) -> Iterator[Sample]:
    """What a test measures, at each of the places that it names."""
    match test:
        case RatioTest():
            yield from _ratios(test, evidence)
        case DifferenceTest():
            yield from _differences(test, evidence)
        case TrendTest():
            yield from _trends(test, evidence)
        case InteractionTest():
            yield from _interactions(test, evidence)
        case GradientTest():
            yield from _gradients(test, evidence)


def _ratios(test: RatioTest, evidence: Evidence) -> Iterator[Sample]:
    for task in test.tasks:
        for variant in test.variants:
            if test.reference is None:
                yield _paired_ratio(test, evidence, task, variant)
            else:
                yield _ratio(test, evidence, task, variant, test.reference)


def _ratio(test: RatioTest, evidence: Evidence, task: str, variant: str, reference: str) -> Sample:
    """A cost of the variant to that of the reference under the same seed."""
    measures = (test.measure, test.reference_measure or test.measure)
    rows = evidence.rows(test.model, [task], [variant, reference])
    ours = by_seed(rows, task, variant, measures[0])
    theirs = by_seed(rows, task, reference, measures[1])
    seeds = sorted({seed for seed, _ in ok_runs(rows)})
    lacking = _without(ours, measures[0], seeds) + _without(theirs, measures[1], seeds)
    ours, theirs = _positive(ours), _positive(theirs)
    seeds = shared(ours, theirs)
    timed = any(name in TIMED for name in measures)
    measured = _measured(rows, seeds) if timed else seeds
    if len(measured) < len(seeds):
        lacking += (_TIMED_APART,)
    return Sample(
        test=test,
        tasks=(task,),
        variants=(variant,),
        rows=rows,
        values={seed: ours[seed] / theirs[seed] for seed in measured},
        constant=not timed and _constant(ours, seeds) and _constant(theirs, seeds),
        reasons=obstacles(rows, costs=not set(measures) <= CONSTANTS) or lacking,
    )


def _paired_ratio(test: RatioTest, evidence: Evidence, task: str, variant: str) -> Sample:
    """A ratio that each run has measured itself, in turns with the plain base model."""
    rows = evidence.rows(test.model, [task], [variant])
    values = by_seed(rows, task, variant, test.measure)
    lacking = _without(values, test.measure, sorted({seed for seed, _ in ok_runs(rows)}))
    measured = {seed: values[seed] for seed in _measured(rows, list(_positive(values)))}
    run = next((run for seed, run in ok_runs(rows) if [seed] == list(measured)), None)
    return Sample(
        test=test,
        tasks=(task,),
        variants=(variant,),
        rows=rows,
        values=measured,
        rounds=evidence.rounds(run, test.measure) if run else (),
        reasons=obstacles(rows, costs=test.measure not in CONSTANTS) or lacking,
    )


def _differences(test: DifferenceTest, evidence: Evidence) -> Iterator[Sample]:
    for task in test.tasks:
        for variant in test.variants:
            rows = evidence.rows(test.model, [task], [variant, test.reference])
            values = _gap(rows, task, variant, test.reference)
            yield Sample(test, (task,), (variant,), rows, values, reasons=obstacles(rows))


def _trends(test: TrendTest, evidence: Evidence) -> Iterator[Sample]:
    if test.along.startswith("options."):
        for variant in test.variants:
            yield _trend(test, evidence, test.tasks, (variant,))
    else:
        for task in test.tasks:
            yield _trend(test, evidence, (task,), test.variants)


def _trend(
    test: TrendTest, evidence: Evidence, tasks: tuple[str, ...], variants: tuple[str, ...]
) -> Sample:
    """The slope of the difference over the tasks of one variant, or the variants of one task."""
    rows = evidence.rows(test.model, tasks, [*variants, test.reference])
    points = [
        Point(
            task if test.along.startswith("options.") else variant,
            evidence.number(test, task, variant),
            by_seed(rows, task, variant, "test_score"),
            by_seed(rows, task, test.reference, "test_score"),
        )
        for task in tasks
        for variant in variants
    ]
    points.sort(key=lambda point: (point.number, point.name))
    doublings = np.log2([point.number for point in points])
    seeds = shared(*(side for point in points for side in (point.ours, point.theirs)))
    values = {seed: _slope(doublings, [point.gap(seed) for point in points]) for seed in seeds}
    reasons = obstacles(rows)
    return Sample(test, tasks, variants, rows, values, reasons=reasons, points=tuple(points))


def _slope(x: np.ndarray, y: list[float]) -> float:
    """Of the least-squares line."""
    return float(np.polynomial.polynomial.polyfit(x, y, deg=1)[1])


def _interactions(test: InteractionTest, evidence: Evidence) -> Iterator[Sample]:
    for variant in test.variants:
        rows = evidence.rows(test.model, test.tasks, [variant, test.reference])
        gaps = [_gap(rows, task, variant, test.reference) for task in test.tasks]
        seeds = shared(*gaps)
        yield Sample(
            test=test,
            tasks=test.tasks,
            variants=(variant,),
            rows=rows,
            values={seed: gaps[1][seed] - gaps[0][seed] for seed in seeds},
            reasons=obstacles(rows) or _not_harder(test, rows),
        )


def _not_harder(test: InteractionTest, rows: pd.DataFrame) -> tuple[str, ...]:
    """Why the task that is called harder is not so in these runs."""
    easy, hard = (by_seed(rows, task, test.reference, "test_score") for task in test.tasks)
    means = [float(np.mean(list(side.values()))) for side in (easy, hard)]
    sign = sign_of(rows)
    if sign * means[1] < sign * means[0]:
        return ()
    scores = f"{means[1]:.3f} on {test.harder} and {means[0]:.3f} on {test.easier}"
    return (f"{test.harder} is not the harder task here: {test.reference} scores {scores}",)


def _gradients(test: GradientTest, evidence: Evidence) -> Iterator[Sample]:
    for task in test.tasks:
        for variant in test.variants:
            sides = [variant] if test.reference is None else [variant, test.reference]
            rows = evidence.rows(test.model, [task], sides)
            figures = [_figures(test, evidence, rows[rows["variant"] == name]) for name in sides]
            seeds = sorted({seed for seed, _ in ok_runs(rows)})
            lacking = [text for one in figures for text in _without(one, test.figure, seeds)]
            ours, *theirs = map(_positive, figures)
            seeds = shared(ours, *theirs)
            values = {
                seed: ours[seed] / theirs[0][seed] if theirs else ours[seed] for seed in seeds
            }
            yield Sample(
                test=test,
                tasks=(task,),
                variants=(variant,),
                rows=rows,
                values=values,
                constant=_constant(values, seeds),
                exploded=_exploded(test, rows[rows["variant"] == variant]),
                reasons=obstacles(rows)
                or tuple(dict.fromkeys(lacking))
                or _converged(test, rows, values),
            )


def _figures(test: GradientTest, evidence: Evidence, rows: pd.DataFrame) -> Values:
    """The figure of each ok run of a cell; without the seeds whose record lacks it."""
    found = {seed: evidence.gradients(run) for seed, run in ok_runs(rows)}
    return {
        seed: value
        for seed, norms in found.items()
        if norms and (value := gradient_figure(norms, test)) is not None
    }


def _exploded(test: GradientTest, rows: pd.DataFrame) -> tuple[int, ...]:
    """The seeds whose run diverged, where the test is for large gradients.

    A run whose tuning chose nothing has not trained: it is no such run.
    """
    if test.figure != "largest-to-median-step" or test.above is None:
        return ()
    diverged = rows[(rows["state"] == "diverged") & rows["learning_rate"].notna()]
    return tuple(int(seed) for seed in diverged["seed"])


def _converged(test: GradientTest, rows: pd.DataFrame, values: Values) -> tuple[str, ...]:
    """Why a last gradient that is small beside the first is no sign of vanishing.

    The gradient of a loss goes to 0 with the loss: it takes a reference under the same seed whose
    loss is no larger in the end. `rows` are those of one variant and of the reference on one task.
    """
    if test.figure != "last-to-first-step" or test.below is None:
        return ()
    if test.reference is None:
        return ("a run that converges has a small last gradient: it takes a reference",)
    task, losses = str(rows["task"].iloc[0]), "loss_final"
    theirs = by_seed(rows, task, test.reference, losses)
    ours = next(by_seed(rows, task, n, losses) for n in rows["variant"] if n != test.reference)
    small = sorted(seed for seed, value in values.items() if value < test.bound)
    known = [seed for seed in small if seed in ours and seed in theirs]
    unknown = ", ".join(str(seed) for seed in small if seed not in known)
    further = ", ".join(str(seed) for seed in known if ours[seed] < theirs[seed])
    reasons = {
        f"the loss is smaller than that of {test.reference}, too, under seed {further}": further,
        f"{losses} is missing under seed {unknown}": unknown,
    }
    return tuple(reason for reason, found in reasons.items() if found)


def gradient_figure(norms: Gradients, test: GradientTest) -> float | None:
    """The ratio that a test is about; None where the record lacks it or would divide by 0."""
    if test.figure == "last-to-first-step":
        over, under = norms.last, norms.first
    elif test.figure == "largest-to-median-step":
        over, under = norms.maximum, norms.median
    else:
        blocks = [one.median for name, one in norms.layers.items() if NUMBERED.search(name)]
        # one block alone is compared with nothing
        if len(blocks) < 2:
            return None
        over, under = min(blocks), max(blocks)
    return over / under if under > 0 else None


def by_seed(rows: pd.DataFrame, task: str, variant: str, column: str) -> Values:
    """A column of the ok runs of a cell; without the seeds that lack it."""
    cell = rows[(rows["task"] == task) & (rows["variant"] == variant) & (rows["state"] == "ok")]
    found = present(cell, column)
    seeds = cell.loc[found.index, "seed"]
    return {int(seed): float(value) for seed, value in zip(seeds, found, strict=True)}


def shared(*sides: Values) -> list[int]:
    """The seeds that all sides have."""
    return sorted(set.intersection(*map(set, sides)))


def _gap(rows: pd.DataFrame, task: str, variant: str, reference: str) -> Values:
    ours, theirs = (by_seed(rows, task, name, "test_score") for name in (variant, reference))
    return {seed: ours[seed] - theirs[seed] for seed in shared(ours, theirs)}


def _measured(rows: pd.DataFrame, seeds: list[int]) -> list[int]:
    """Of the seeds, the first of those that share their measurements: a cell is measured once."""
    measured_by = rows["run"] if COSTS_OF not in rows else rows[COSTS_OF].fillna(rows["run"])
    found = {tuple(measured_by[rows["seed"] == seed]): seed for seed in reversed(seeds)}
    return sorted(found.values())


def _positive(values: Values) -> Values:
    return {seed: value for seed, value in values.items() if value > 0}


def _constant(values: Values, seeds: list[int]) -> bool:
    """Whether two seeds or more have one value between them."""
    return len(seeds) > 1 and len({values[seed] for seed in seeds}) == 1


def _without(values: Values, measure: str, seeds: list[int]) -> tuple[str, ...]:
    """Why a ratio of this measure lacks some of the seeds."""
    absent = ", ".join(str(seed) for seed in seeds if seed not in values)
    zero = ", ".join(str(seed) for seed in seeds if seed in values and values[seed] <= 0)
    reasons = {
        f"{measure} is missing under seed {absent}": absent,
        f"{measure} is 0 under seed {zero}, and a ratio needs more": zero,
    }
    return tuple(reason for reason, found in reasons.items() if found)
