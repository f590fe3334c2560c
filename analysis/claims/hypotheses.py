"""What the tests of a claim measure: one value a seed, from the runs of one benchmark."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.comparability import GROUP, UNMEASURED
from analysis.frame import COMPARABLE, present
from analysis.reading import read_record
from records.claims import (
    DifferenceTest,
    GradientTest,
    InteractionTest,
    RatioTest,
    Test,
    TrendTest,
)
from records.place import record_file
from records.plan import Plan
from records.result import Gradients, Result

Values = dict[int, float]
"""Seed -> value."""
NUMBERED = re.compile(r"\.\d+$")
"""The end of a block's name. Layers of other shapes have other norms for that alone."""
BY_DESIGN = ("data_sha256",)
"""In this the conditions of two tasks differ, and have to."""


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
    exploded: bool = False
    """Whether a run diverged, which decides a test for large gradients."""
    reasons: tuple[str, ...] = ()
    """Why it cannot be decided."""
    points: dict[float, tuple[Values, Values]] = field(default_factory=dict)
    """Of a trend: number -> scores of the variant and of the reference."""

    @property
    def logarithmic(self) -> bool:
        """Whether the values are ratios, whose mean is the geometric one."""
        return isinstance(self.test, RatioTest | GradientTest)

    @property
    def reference(self) -> str | None:
        """The variant that the others are compared with."""
        return None if isinstance(self.test, GradientTest) else self.test.reference


@dataclass(frozen=True)
class Evidence:
    """The runs of a benchmark: the plan, the runs table and the folder of all runs."""

    plan: Plan
    frame: pd.DataFrame
    runs: Path

    def rows(self, model: str, tasks: Iterable[str], variants: Iterable[str]) -> pd.DataFrame:
        """The planned runs of these cells."""
        frame = self.frame
        chosen = frame["task"].isin(tasks) & frame["variant"].isin(variants)
        return frame[chosen & (frame["model"] == model)]

    def number(self, along: str, name: str) -> float:
        """The option of a task, or the setting of a variant, that a trend follows."""
        room, _, key = along.partition(".")
        specs = self.plan.runs.values()
        if room == "options":
            found = next(spec.task.options[key] for spec in specs if spec.task.name == name)
        else:
            found = next(spec.variant.settings[key] for spec in specs if spec.variant.name == name)
        return float(str(found))

    def gradients(self, run: str) -> Gradients | None:
        """The gradient norms in the record of a run."""
        path = record_file(self.runs, run)
        return None if path is None else read_record(Result, path).gradients

    def recorded_gradients(self, rows: pd.DataFrame) -> list[Gradients]:
        """The gradient norms of the ok runs that have them."""
        found = [self.gradients(run) for _, run in _ok(rows)]
        return [norms for norms in found if norms is not None]


def layer_names(norms: Iterable[Gradients]) -> list[str]:
    """Every layer, in the order of the model."""
    return list(dict.fromkeys(layer for one in norms for layer in one.layers))


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
    measures = (test.measure, test.reference_measure or test.measure)
    for task in test.tasks:
        for variant in test.variants:
            rows = evidence.rows(test.model, [task], [variant, test.reference])
            ours = by_seed(rows, task, variant, measures[0])
            theirs = by_seed(rows, task, test.reference, measures[1])
            seeds = sorted({seed for seed, _ in _ok(rows)})
            lacking = _without(ours, measures[0], seeds) + _without(theirs, measures[1], seeds)
            ours, theirs = _positive(ours), _positive(theirs)
            seeds = shared(ours, theirs)
            yield Sample(
                test=test,
                tasks=(task,),
                variants=(variant,),
                rows=rows,
                values={seed: ours[seed] / theirs[seed] for seed in seeds},
                constant=_constant(ours, seeds) and _constant(theirs, seeds),
                reasons=_gaps(rows) or lacking,
            )


def _differences(test: DifferenceTest, evidence: Evidence) -> Iterator[Sample]:
    for task in test.tasks:
        for variant in test.variants:
            rows = evidence.rows(test.model, [task], [variant, test.reference])
            values = _gap(rows, task, variant, test.reference)
            yield Sample(test, (task,), (variant,), rows, values, reasons=_gaps(rows))


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
    names = tasks if test.along.startswith("options.") else variants
    numbers = {name: evidence.number(test.along, name) for name in names}
    points = {
        numbers[task if task in numbers else variant]: (
            by_seed(rows, task, variant, "test_score"),
            by_seed(rows, task, test.reference, "test_score"),
        )
        for task in tasks
        for variant in variants
    }
    seeds = shared(*(side for pair in points.values() for side in pair))
    doublings = np.log2(list(points))
    values = {
        seed: _slope(doublings, [ours[seed] - theirs[seed] for ours, theirs in points.values()])
        for seed in seeds
    }
    return Sample(test, tasks, variants, rows, values, reasons=_gaps(rows), points=points)


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
            reasons=_gaps(rows) or _not_harder(test, rows),
        )


def _not_harder(test: InteractionTest, rows: pd.DataFrame) -> tuple[str, ...]:
    """Why the task that is called harder is not so in these runs."""
    easy, hard = (by_seed(rows, task, test.reference, "test_score") for task in test.tasks)
    means = [float(np.mean(list(side.values()))) for side in (easy, hard)]
    if means[1] < means[0]:
        return ()
    scores = f"{means[1]:.3f} on {test.harder} and {means[0]:.3f} on {test.easier}"
    return (f"{test.harder} is not the harder task here: {test.reference} scores {scores}",)


def _gradients(test: GradientTest, evidence: Evidence) -> Iterator[Sample]:
    for task in test.tasks:
        for variant in test.variants:
            rows = evidence.rows(test.model, [task], [variant])
            found = {seed: evidence.gradients(run) for seed, run in _ok(rows)}
            values = {
                seed: value
                for seed, norms in found.items()
                if norms and (value := gradient_figure(norms, test)) is not None
            }
            lacking = _without(values, test.figure, sorted(found))
            explodes = test.figure == "largest-to-median-step" and test.above is not None
            exploded = explodes and bool((rows["state"] == "diverged").any())
            yield Sample(
                test=test,
                tasks=(task,),
                variants=(variant,),
                rows=rows,
                values=_positive(values),
                constant=_constant(values, sorted(values)),
                exploded=exploded,
                reasons=_gaps(rows) or lacking,
            )


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


def _ok(rows: pd.DataFrame) -> list[tuple[int, str]]:
    ok = rows[rows["state"] == "ok"]
    return [(int(seed), str(run)) for seed, run in zip(ok["seed"], ok["run"], strict=True)]


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


def _gaps(rows: pd.DataFrame) -> tuple[str, ...]:
    """Runs that are not ok, by name, or that are not comparable."""
    bad = rows[rows["state"] != "ok"]
    gaps = [
        f"{row['variant']} on {row['task']}: {row['state']}"
        if pd.isna(row["run"])
        else f"{row['run']}: {row['state']}"
        for _, row in bad.iterrows()
    ]
    return tuple(gaps) or _incomparable(rows) or _unlike_metrics(rows)


def _incomparable(rows: pd.DataFrame) -> tuple[str, ...]:
    """The conditions in which the runs differ: on one task any, over tasks all but the data."""
    measured = rows[~rows["state"].isin(UNMEASURED)]
    columns = [name for name in rows if str(name).startswith(COMPARABLE)]
    free = [COMPARABLE + key for key in BY_DESIGN]
    fixed = [name for name in columns if name not in free]
    differing = [name for name in fixed if measured[name].nunique(dropna=False) > 1]
    for _, group in measured.groupby(GROUP):
        differing += [name for name in free if group[name].nunique(dropna=False) > 1]
    names = [str(name).removeprefix(COMPARABLE) for name in dict.fromkeys(differing)]
    return (f"the runs are not comparable, they differ in {', '.join(names)}",) if names else ()


def _unlike_metrics(rows: pd.DataFrame) -> tuple[str, ...]:
    metrics = present(rows, "metric").unique()
    return (f"the tasks have different metrics: {', '.join(metrics)}",) if len(metrics) > 1 else ()
