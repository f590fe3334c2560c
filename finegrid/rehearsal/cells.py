"""A cell's run made small: few steps, few rows, on one process of the CPU, with all else kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue, ValidationError

from finegrid.models.anatomy import Anatomy
from finegrid.records.specification import Task, Variant
from finegrid.records.training import Training
from finegrid.rehearsal.rows import ROWS
from finegrid.rehearsal.shrink import ShrinkError
from methods.registry import METHODS

_WRITTEN = "max_new_tokens"
_FEWEST_WRITTEN = 8
_ATTEMPTS = 64
"""At halving values: more than any list of settings takes."""
_ELSEWHERE = ("device", "devices", "nodes", "strategy", "runs_per_device", "threads")
"""What a rehearsal on one process of the CPU has at its default."""
_EPOCHS, _EVALUATIONS = 2, 2


def small_task(task: Task) -> Task:
    """The task with few tokens to write after a prompt."""
    return task.model_copy(update={"options": _fewer_written(task.options)})


def _fewer_written(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: min(one, _FEWEST_WRITTEN)
            if key == _WRITTEN and isinstance(one, int)
            else _fewer_written(one)
            for key, one in value.items()
        }
    return [_fewer_written(one) for one in value] if isinstance(value, list) else value


def small_training(training: Training) -> Training:
    """Two optimizer steps, or as many more as batches of less than four examples ask for.

    Micro-batches stay smaller than their batch where they were. A pass over all rows is one epoch.
    """
    plain = training.model_dump(mode="json", exclude=set(_ELSEWHERE))
    batch = min(training.batch_size, ROWS)
    micro = training.micro_batch_size
    accumulates = micro is not None and micro < training.batch_size
    plain |= {
        "batch_size": batch,
        "micro_batch_size": (batch // 2 if batch % 2 == 0 else 1) if accumulates else None,
        "evaluation_batch_size": min(training.evaluation_batch_size, ROWS),
        "epochs": 1 if batch < ROWS else _EPOCHS,
        "evaluations": min(training.evaluations, _EVALUATIONS),
    }
    if training.evaluation_examples is not None:
        plain["evaluation_examples"] = min(training.evaluation_examples, ROWS)
    return Training.model_validate(plain, strict=False)


def elsewhere(training: Training) -> Iterator[str]:
    """What a run asks for that one process of the CPU does not have: key and value."""
    for key in _ELSEWHERE[:-1]:
        if (value := getattr(training, key)) != Training.model_fields[key].default:
            yield f"{key} {value}"


def fitted(variant: Variant, anatomy: Anatomy) -> tuple[Variant, tuple[str, ...]]:
    """The variant with settings that fit a tiny model, and those that were lowered.

    What does not fit, the method itself says: numbers are halved until it has no problem. Raises
    ShrinkError where that does not help.
    """
    settings, problem = dict(variant.settings), None
    for _ in range(_ATTEMPTS):
        try:
            method = METHODS.build(variant.method, settings)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ShrinkError(f"settings of {variant.name!r} do not fit: {reason}") from error
        problem = method.not_applicable(anatomy) or next(iter(method.problems(anatomy)), None)
        if problem is None:
            return variant.model_copy(update={"settings": settings}), _changed(variant, settings)
        key = problem.partition(":")[0].split(".")[0]
        before = settings.get(key)
        settings[key] = _halved(before)
        if settings[key] == before:
            break
    raise ShrinkError(f"settings of {variant.name!r} do not fit the tiny model: {problem}")


def _halved(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _halved(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_halved(one) for one in value]
    return value // 2 if isinstance(value, int) and not isinstance(value, bool) else value


def _changed(variant: Variant, settings: Mapping[str, JsonValue]) -> tuple[str, ...]:
    return tuple(
        f"{variant.name}: {key} {variant.settings.get(key)} -> {value}"
        for key, value in settings.items()
        if variant.settings.get(key) != value
    )
