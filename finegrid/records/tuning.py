"""Tuning: the trials of a cell, and the choice by their scores."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from operator import itemgetter
from typing import Any

from finegrid.records.identity import short_hash
from finegrid.records.merge import deep_merge
from finegrid.records.result import Choice, Edge, Result, Trial, Values
from finegrid.records.specification import LEARNING_RATE, Specification, Tuning

_SETTINGS = "settings."


@dataclass(frozen=True)
class Judge:
    """What the trials of a cell are judged by: a metric, and what a choice asks of it."""

    metric: str
    sign: int
    """1 where more is better, -1 where less is."""


def tuning_key(spec: Specification) -> str:
    """What the seeds of a tuned cell share: the name of its choice."""
    return f"{spec.cell}-{short_hash(cell_specification(spec))}"


def choice_file(spec: Specification) -> str:
    """The file of the choice of a tuned run's cell, in the folder of all choices."""
    return f"{tuning_key(spec)}.json"


def cell_specification(spec: Specification) -> Specification:
    """The specification of a tuned cell: that of any of its runs, with the seed of the tuning.

    Raises ValueError where the run is not tuned.
    """
    return spec.model_copy(update={"seed": _tuning(spec).seed})


def candidates(tuning: Tuning) -> list[Values]:
    """Every combination of the grid's values, the learning rates in ascending order."""
    return [
        dict(zip(tuning.grid, values, strict=True)) for values in product(*tuning.grid.values())
    ]


def beyond(tuning: Tuning, edge: Edge) -> Tuning:
    """The tuning whose grid has the one learning rate past that edge, and all else as it was."""
    rates = tuning.learning_rates
    rate = rates[0] / tuning.ratio if edge == "lower" else rates[-1] * tuning.ratio
    return tuning.model_copy(update={"grid": tuning.grid | {LEARNING_RATE: (rounded(rate),)}})


def rounded(rate: float) -> float:
    """A learning rate with three digits."""
    return float(f"{rate:.3g}")


def tuned(spec: Specification, values: Values) -> Specification:
    """The run with the tuned values in their places, and nothing left to tune.

    Raises pydantic.ValidationError for a value that is not allowed.
    """
    return _changed(spec, _nested(values), {"tuning": None})


def possible(spec: Specification) -> list[Specification]:
    """What the run may turn out to be: one for each choice that is not of its learning rate."""
    grid = spec.tuning.grid if spec.tuning else {}
    others = {key: values for key, values in grid.items() if key != LEARNING_RATE}
    if not others:
        return [spec]
    return [tuned(spec, dict(zip(others, one, strict=True))) for one in product(*others.values())]


def trial(spec: Specification, values: Values) -> Specification:
    """The trial of these values for a tuned run. Raises as `tuned` does."""
    tuning = _tuning(spec)
    changes = deep_merge({"training": tuning.training}, _nested(values))
    return _changed(spec, changes, {"tuning": None, "role": "trial", "seed": tuning.seed})


def effective(result: Result) -> Specification:
    """What a run really did: its specification with the chosen values in their places.

    Where its tuning chose nothing, nothing was trained, and the specification is the planned one.
    """
    choice = result.tuning
    chosen = choice.chosen if choice else None
    return result.spec if chosen is None else tuned(result.spec, chosen)


def choose(key: str, judge: Judge, trials: Sequence[Trial], grown: int = 0) -> Choice:
    """The choice by the trials that have a score, of which the last `grown` were added.

    The lowest learning rate wins whose score is within one standard error of the best one (Breiman
    et al. 1984, Classification and Regression Trees, section 3.4.3): scores that close are not told
    apart by the validation items, and a high rate fails on other seeds sooner than a low one. Of a
    score without a standard error over items the best one wins, of equals the earliest in
    ascending order of the learning rate. The edge is that of the best score.
    """
    ordered = sorted(trials, key=_learning_rate)
    scored = [(judge.sign * one.score.value, one) for one in ordered if one.score]
    _, best = max(scored, key=itemgetter(0), default=(0.0, None))
    error = best.score.standard_error if best and best.score else None
    chosen = best if error is None else _lowest_within(error, scored)
    return Choice(
        key=key,
        metric=judge.metric,
        trials=tuple(ordered),
        chosen=chosen.values if chosen else None,
        chosen_run=chosen.run if chosen else None,
        rule="best" if error is None else "one-standard-error",
        best_run=best.run if best else None,
        standard_error=error,
        edge=_edge(best, ordered) if best else None,
        grown=grown,
    )


def _lowest_within(error: float, scored: Sequence[tuple[float, Trial]]) -> Trial:
    """Of the trials within the error of the best score: lowest rate, then best score, then first.

    `scored` holds sign * score, in ascending order of the learning rate.
    """
    best = max(value for value, _ in scored)
    close = [(value, one) for value, one in scored if value >= best - error]
    lowest = _learning_rate(close[0][1])
    return max((one for one in close if _learning_rate(one[1]) == lowest), key=itemgetter(0))[1]


def _edge(best: Trial, trials: Sequence[Trial]) -> Edge | None:
    """Where the best of at least two learning rates is the first or the last of them."""
    rates = sorted({_learning_rate(one) for one in trials})
    if len(rates) < 2 or rates[0] < _learning_rate(best) < rates[-1]:
        return None
    return "lower" if _learning_rate(best) == rates[0] else "upper"


def _learning_rate(one: Trial) -> float:
    return float(str(one.values[LEARNING_RATE]))


def _tuning(spec: Specification) -> Tuning:
    if spec.tuning is None:
        raise ValueError(f"{spec.run} is not tuned")
    return spec.tuning


def _nested(values: Values) -> dict[str, Any]:
    """Tuned keys as they nest in a specification."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        room = "variant" if key.startswith(_SETTINGS) else "training"
        *above, last = [room, *key.split(".")]
        branch: dict[str, Any] = {last: value}
        for part in reversed(above):
            branch = {part: branch}
        nested = deep_merge(nested, branch)
    return nested


def _changed(
    spec: Specification, changes: dict[str, Any], replaced: dict[str, Any]
) -> Specification:
    plain = deep_merge(spec.model_dump(mode="json"), changes) | replaced
    return Specification.model_validate_json(json.dumps(plain))
