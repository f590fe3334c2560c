"""The claims of a benchmark, checked against its cells before any job starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from pydantic import JsonValue

from records.claims import Claims, GradientTest, InteractionTest, Test, TrendTest
from records.plan import Cell
from records.registry import unknown_name
from workflow.schemas.errors import Location, Problems, refused


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
    reference = [] if isinstance(test, GradientTest) else [test.reference]
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


def _no_trend(test: TrendTest, cells: Sequence[Cell]) -> Iterator[tuple[Location, str]]:
    """A trend needs two different positive numbers."""
    room, _, key = test.along.partition(".")
    names = test.tasks if room == "options" else test.variants
    values = {name: _value(room, key, name, cells) for name in names}
    wrong = [name for name, value in values.items() if not _positive(value)]
    if wrong:
        yield ("along",), refused(test.along, f"{wrong[0]!r} has no number above 0 there")
    elif len(set(map(str, values.values()))) < 2:
        yield ("along",), refused(test.along, "a trend takes two different numbers")


def _value(room: str, key: str, name: str, cells: Sequence[Cell]) -> JsonValue:
    specs = (spec for cell in cells for spec in cell.runs.values())
    if room == "options":
        return next(spec.task.options.get(key) for spec in specs if spec.task.name == name)
    return next(spec.variant.settings.get(key) for spec in specs if spec.variant.name == name)


def _positive(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
