"""The claims of a benchmark, checked against its cells before any job starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from pydantic import JsonValue

from finegrid.problems import Location, Problems, refused
from finegrid.records.claims import Claims, GradientTest, InteractionTest, Test, TrendTest
from finegrid.records.plan import Cell
from finegrid.records.registry import unknown_name


def check_claims(claims: Claims, cells: Sequence[Cell], problems: Problems) -> None:
    """Note what the tests name and the benchmark does not run."""
    for number, claim in enumerate(claims.hypotheses):
        for index, test in enumerate(claim.tests):
            at: Location = ("claims", "hypotheses", number, "tests", index)
            known = len(problems.lines)
            for place, message in _unknown(test, cells):
                problems.add((*at, *place), message)
            if len(problems.lines) == known:
                for place, message in _unfit(test, cells):
                    problems.add((*at, *place), message)


def _unknown(test: Test, cells: Sequence[Cell]) -> Iterator[tuple[Location, str]]:
    """The names that stand in no cell."""
    for place, name in _named(test):
        kind = {"model": "model", "variants": "variant", "reference": "variant"}.get(
            str(place[0]), "task"
        )
        known = list(dict.fromkeys(getattr(cell, kind) for cell in cells))
        if name not in known:
            yield place, unknown_name(kind, name, known)


def _named(test: Test) -> Iterator[tuple[Location, str]]:
    """Every name of a test with its key."""
    for key in ("model", "easier", "harder", "reference"):
        if name := getattr(test, key, None):
            yield (key,), name
    for key in ("tasks", "variants"):
        names = getattr(test, key) if key in type(test).model_fields else ()
        for number, name in enumerate(names):
            yield (key, number), name


def _unfit(test: Test, cells: Sequence[Cell]) -> Iterator[tuple[Location, str]]:
    """What is known and does not make a test."""
    reference = [test.reference] if test.reference else []
    runs = {(cell.task, cell.variant) for cell in cells if cell.model == test.model and cell.runs}
    for task, variant in product(test.tasks, [*test.variants, *reference]):
        if (task, variant) not in runs:
            place = "reference" if variant in reference else "variants"
            allowed = f"allowed: a variant with runs of model {test.model!r} on task {task!r}"
            yield (place,), refused(variant, allowed)
    for variant in reference:
        if variant in test.variants:
            yield ("reference",), refused(variant, "it is one of variants; allowed: another")
    if isinstance(test, InteractionTest) and test.easier == test.harder:
        yield ("harder",), refused(test.harder, "it is the easier one too; allowed: another")
    if isinstance(test, TrendTest):
        yield from _no_trend(test, cells)
    if isinstance(test, GradientTest) and test.reference is None:
        yield from _no_reference(test)


def _no_reference(test: GradientTest) -> Iterator[tuple[Location, str]]:
    """Every run that converges has a small last gradient."""
    if test.figure == "last-to-first-step" and test.below is not None:
        yield ("figure",), refused(test.figure, "below a bound it takes a reference")


def _no_trend(test: TrendTest, cells: Sequence[Cell]) -> Iterator[tuple[Location, str]]:
    """A trend needs two different positive numbers: along tasks, or on each task along variants."""
    room, _, key = test.along.partition(".")
    specs = [spec for cell in cells if cell.model == test.model for spec in cell.runs.values()]
    if room == "options":
        lines = [{spec.task.name: spec.task.options.get(key) for spec in specs}]
        names = test.tasks
    else:
        lines = [
            {
                one.variant.name: one.variant.settings.get(key)
                for one in specs
                if one.task.name == task
            }
            for task in test.tasks
        ]
        names = test.variants
    for values in lines:
        wrong = [name for name in names if not _positive(values[name])]
        if wrong:
            yield ("along",), refused(test.along, f"{wrong[0]!r} has no number above 0 there")
            return
        if len({values[name] for name in names}) < 2:
            yield ("along",), refused(test.along, "a trend takes two different numbers")
            return


def _positive(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
