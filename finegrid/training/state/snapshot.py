"""The state of a training between two steps: taken out of a trainer, and put back to the bit."""

import random
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue

from finegrid.records.base import Record
from finegrid.records.costs import Count, Seconds
from finegrid.records.result import Score
from finegrid.training.loop import Best, Event, Trainer
from finegrid.training.processes.distributed import sharded_like
from methods.parameters import host_copy, load_trainable, trainable_state

Tensors = dict[str, torch.Tensor]
_MODEL, _BUFFERS, _BEST, _OPTIMIZER = "model/", "buffers/", "best/", "optimizer/"
_STEPS = "steps/"
_CPU_GENERATOR, _DEVICE_GENERATOR = "generator/cpu", "generator/device"


class KeptBest(Record):
    """The best evaluation so far, without its tensors."""

    step: Count
    scores: dict[str, Score]
    said: tuple[dict[str, JsonValue], ...]


class TrainerState(Record):
    """What is no tensor in the state of a training. Its steps so far stand in the history."""

    evaluated: Count
    """The last step after which the validation split was scored; 0 before the first."""
    evaluate_seconds: Seconds
    learning_rates: tuple[float, ...]
    """Of the optimizer's groups."""
    schedule: dict[str, JsonValue]
    best: KeptBest | None
    python_generator: tuple[int, tuple[int, ...], float | None]
    numpy_generator: JsonValue


def capture(trainer: Trainer) -> tuple[Tensors, TrainerState]:
    """The state between two steps. The tensors of the model and the optimizer are shared.

    The first process of a group gets all of it; the others have their part in its making.
    """
    best = trainer.best
    state = TrainerState(
        evaluated=trainer.evaluated,
        evaluate_seconds=trainer.evaluate_seconds,
        learning_rates=tuple(group["lr"] for group in trainer.optimizer.param_groups),
        schedule=trainer.schedule.state_dict(),
        best=_kept(best) if best else None,
        python_generator=random.getstate(),
        numpy_generator=_numpy_generator(),
    )
    return _tensors(trainer), state


def _kept(best: Best) -> KeptBest:
    return KeptBest(step=best.step, scores=best.scores, said=tuple(best.said))


def restore(
    trainer: Trainer, tensors: Tensors, state: TrainerState, history: tuple[Event, ...]
) -> None:
    """Put a state back into a trainer whose model, optimizer and schedule are as at the start.

    Raises ValueError where the tensors do not fit the model.
    """
    own = trainable_state(trainer.model)
    load_trainable(trainer.model, _sharded(_below(tensors, _MODEL), own))
    buffers = dict(trainer.model.named_buffers())
    for name, tensor in _below(tensors, _BUFFERS).items():
        buffers[name].copy_(tensor)
    _load_optimizer(trainer.optimizer, _below(tensors, _OPTIMIZER), state.learning_rates)
    trainer.schedule.load_state_dict(dict(state.schedule))
    if trainer.steps:
        trainer.steps.restore(_below(tensors, _STEPS))
    trainer.recall([event for event in history if "loss" in event])
    trainer.evaluated, trainer.evaluate_seconds = state.evaluated, state.evaluate_seconds
    if state.best:
        kept = host_copy(_sharded(_below(tensors, _BEST), own))
        said = [dict(row) for row in state.best.said]
        trainer.best = Best(state.best.step, state.best.scores, said, kept)
    _load_generators(tensors, state, trainer)


def _tensors(trainer: Trainer) -> Tensors:
    parts: dict[str, Tensors] = {
        _MODEL: trainable_state(trainer.model),
        # Copies: two buffers may share their storage, and a file of tensors must not.
        _BUFFERS: host_copy(dict(trainer.model.named_buffers())),
        _OPTIMIZER: _optimizer_tensors(trainer.optimizer),
        _BEST: trainer.best.state if trainer.best else {},
        _STEPS: trainer.steps.state() if trainer.steps else {},
    }
    tensors = {kind + name: t for kind, part in parts.items() for name, t in part.items()}
    generators = {n: trainer.group.stacked(t) for n, t in _generators(trainer.device).items()}
    return trainer.group.whole(tensors) | generators


def _sharded(tensors: Tensors, own: Tensors) -> Tensors:
    """The tensors, each sharded as the process's own of that name is."""
    return {name: sharded_like(t, own.get(name)) for name, t in tensors.items()}


def _below(tensors: Tensors, kind: str) -> Tensors:
    return {n.removeprefix(kind): t for n, t in tensors.items() if n.startswith(kind)}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """`<index of the parameter>/<key>` -> tensor."""
    states: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {f"{at}/{key}": t for at, state in states.items() for key, t in state.items()}


def _load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Tensors, rates: tuple[float, ...]
) -> None:
    states: dict[int, Tensors] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, tensor in tensors.items():
        at, _, key = name.partition("/")
        own = parameters[int(at)]
        # A copy of its own: what was read may be a view of a file that is deleted.
        part = sharded_like(tensor, own) if tensor.shape == own.shape else tensor
        states.setdefault(int(at), {})[key] = part.clone()
    groups = optimizer.state_dict()["param_groups"]
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _generators(device: torch.device) -> Tensors:
    found = {_CPU_GENERATOR: torch.get_rng_state()}
    if device.type != "cpu":
        found[_DEVICE_GENERATOR] = torch.get_device_module(device).get_rng_state()
    return found


def _numpy_generator() -> JsonValue:
    plain: dict[str, Any] = dict(np.random.get_state(legacy=False))
    words = plain["state"]
    return plain | {"state": words | {"key": words["key"].tolist()}}


def _load_generators(tensors: Tensors, state: TrainerState, trainer: Trainer) -> None:
    device, own = trainer.device, trainer.group.own
    random.setstate(state.python_generator)
    np.random.set_state(state.numpy_generator)  # type: ignore[arg-type]
    torch.set_rng_state(own(tensors[_CPU_GENERATOR]).clone())
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(own(tensors[_DEVICE_GENERATOR]).clone())
