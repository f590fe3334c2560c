"""A cell's run made small: few steps, few rows, on one process of the CPU, with all else kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue, ValidationError

from finegrid.models.anatomy import Anatomy
from finegrid.records.result import Values
from finegrid.records.specification import Model, Specification, Task, Tuning, Variant
from finegrid.records.training import Training
from finegrid.records.tuning import trial
from finegrid.rehearsal.rows import ROWS
from finegrid.rehearsal.shrink import ShrinkError
from methods.registry import METHODS

_WRITTEN = "max_new_tokens"
_FEWEST_WRITTEN = 8
_ATTEMPTS = 64
"""At halving values: more than any list of settings takes."""
_SETTINGS = "settings."
"""What a tuned key of a method begins with."""
_ELSEWHERE = ("device", "devices", "nodes", "strategy", "runs_per_device", "threads")
"""What a rehearsal on one process of the CPU has at its default."""
_EPOCHS, _EVALUATIONS = 2, 2


@dataclass(frozen=True)
class SmallRun:
    """A run on a tiny model, with one trial before it where its cell is tuned."""

    spec: Specification
    lowered: tuple[str, ...]
    """The settings of its method that were lowered."""


def small_run(spec: Specification, model: Model, anatomy: Anatomy) -> SmallRun:
    """The run with few steps, on a tiny model of that anatomy, with settings that fit it.

    Where the cell is tuned, its trials are one, with the middle value of each tuned key. Raises
    ShrinkError.
    """
    values = _middle(spec.tuning)
    whole = trial(spec, values) if values else spec
    variant, lowered = fitted(whole.variant, anatomy)
    _hold_tokens(variant, model)
    training = small_training(whole.training)
    changed: dict[str, Any] = {"task": small_task(spec.task), "model": model}
    changed |= {"variant": variant, "training": small_training(spec.training)}
    if spec.tuning:
        changed |= {"tuning": _one_trial(spec.tuning, values, variant, training)}
    return SmallRun(spec.model_copy(update=changed), lowered)


def _hold_tokens(variant: Variant, model: Model) -> None:
    """Raise ShrinkError for a token that the tiny model's vocabulary does not have."""
    token = METHODS.build(variant.method, variant.settings).largest_token
    size = model.configuration.get("vocab_size")
    if token is not None and isinstance(size, int) and token >= size:
        raise ShrinkError(
            f"settings of {variant.name!r} name token {token}, and the made-up vocabulary has "
            f"{size}; with the tokenizer's files here it stays whole"
        )


def _middle(tuning: Tuning | None) -> Values:
    grid = tuning.grid if tuning else {}
    return {key: values[len(values) // 2] for key, values in grid.items()}


def _one_trial(tuning: Tuning, values: Values, variant: Variant, training: Training) -> Tuning:
    """The tuning whose one trial has these values, as a small variant and training hold them."""
    plain = training.model_dump(mode="json")
    defaults = {key: field.default for key, field in Training.model_fields.items()}
    grid = {
        key: (
            _held(variant.settings, key.removeprefix(_SETTINGS), value)
            if key.startswith(_SETTINGS)
            else _held(plain, key, value),
        )
        for key, value in values.items()
    }
    said = {key: plain.get(key, defaults[key]) for key in tuning.training}
    return tuning.model_copy(update={"grid": grid, "grow": False, "training": said})


def _held(settings: Mapping[str, JsonValue], key: str, given: JsonValue) -> JsonValue:
    """What stands at a key with dots; what was given where nothing does, as for a default."""
    found: Any = settings
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return given if found is None else found


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
