"""Tuning: the trials of a cell, and the choice by their scores."""

import json
from collections.abc import Sequence
from itertools import product
from typing import Any

from records.identity import short_hash
from records.merge import deep_merge
from records.result import Choice, Edge, Result, Trial, Values
from records.specification import LEARNING_RATE, Specification, Tuning

_SETTINGS = "settings."


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


def choose(key: str, metric: str, trials: Sequence[Trial], grown: int = 0) -> Choice:
    """The choice by the trials that have a score, of which the last `grown` were added.

    The best score wins, of equals the earliest in ascending order of the learning rate.
    """
    ordered = sorted(trials, key=_learning_rate)
    scored = [one for one in ordered if one.score is not None]
    best = max(scored, key=lambda one: one.score.value if one.score else -1.0, default=None)
    return Choice(
        key=key,
        metric=metric,
        trials=tuple(ordered),
        chosen=best.values if best else None,
        chosen_run=best.run if best else None,
        edge=_edge(best, ordered) if best else None,
        grown=grown,
    )


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
