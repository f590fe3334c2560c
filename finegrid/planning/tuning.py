"""The tuning of a benchmark, cell by cell: the same number of trials for each."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue, ValidationError

from finegrid.planning.schema import Grid, PartialTraining, TuningEntry
from finegrid.problems import Location, Problems, dotted, dump_settings, explain
from finegrid.records.merge import deep_merge
from finegrid.records.specification import LEARNING_RATE, Specification, Tuning
from finegrid.records.training import Training
from finegrid.records.tuning import candidates, rounded, trial, tuned
from methods.registry import METHODS

_OTHERS: Location = ("tuning", "others")
_TUNED = dotted(_OTHERS)


def plan_tuning(entry: TuningEntry, grid: Grid, training: Training) -> Tuning:
    """The tuning of a variant whose learning rates lie evenly, on a log scale, about its own."""
    middle = (entry.learning_rates - 1) / 2
    steps = [number - middle for number in range(entry.learning_rates)]
    rates: tuple[JsonValue, ...] = tuple(
        rounded(training.rate * entry.ratio**step) for step in steps
    )
    return Tuning(
        seed=entry.seed,
        grid={LEARNING_RATE: rates, **entry.others},
        ratio=entry.ratio,
        grow=entry.grow,
        training=deep_merge(_given(entry.training), _given(grid.trials)),
    )


def plan_trials(runs: list[Specification], problems: Problems) -> dict[str, Specification]:
    """The trials of a cell by their identity; none where nothing is tuned.

    A value that a trial cannot take is noted as a problem of the tuning.
    """
    if not runs or runs[0].tuning is None:
        return {}
    planned = {}
    for values in candidates(runs[0].tuning):
        try:
            one = trial(runs[0], values)
        except ValidationError as error:
            _explain(error, problems)
            continue
        method = one.variant.method
        settings = ((*_OTHERS, "settings"), one.variant.settings)
        if problems.build(METHODS, (_OTHERS, method), settings):
            planned[one.run] = one
    return planned


def settled(runs: list[Specification]) -> list[Specification]:
    """The runs of a cell, the values of their tuning as a trial has them: 16 and 16.0 are one."""
    tuning = runs[0].tuning
    if tuning is None or tuning.grid.keys() == {LEARNING_RATE}:
        return runs
    grid = {
        key: tuple(_settled(runs[0], key, value) for value in values)
        for key, values in tuning.grid.items()
    }
    change = {"tuning": tuning.model_copy(update={"grid": grid})}
    return [run.model_copy(update=change) for run in runs]


def _settled(spec: Specification, key: str, value: JsonValue) -> JsonValue:
    """The value as the key's type has it. A wrong one stays: the trials refuse it."""
    try:
        one = tuned(spec, {key: value})
        settings = dump_settings(METHODS.build(one.variant.method, one.variant.settings))
    except ValidationError:
        return value
    found: Any = {**one.training.model_dump(mode="json"), "settings": settings}
    for part in key.split("."):
        found = found[part]
    plain: JsonValue = found
    return plain


def _given(training: PartialTraining) -> dict[str, Any]:
    return training.model_dump(mode="json", exclude_unset=True)


def _explain(error: ValidationError, problems: Problems) -> None:
    """Note the values that a trial cannot take, under the keys that the benchmark gives them."""
    for line in explain(error, Specification.model_json_schema(), _OTHERS):
        problems.lines.append(line.replace(f"{_TUNED}.training.", f"{_TUNED}.", 1))
