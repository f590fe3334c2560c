"""Predictions on a split, and their scores by the project's own metric modules."""

import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import nn

from finegrid.metrics.registry import METRICS, score_module
from finegrid.records.prepared import PreparedTask
from finegrid.records.result import Score
from finegrid.training.batches import evaluation_batches
from finegrid.training.data import Examples, Inputs
from finegrid.training.processes.distributed import ALONE, Group


class UndefinedScoreError(ArithmeticError):
    """A metric has no value, as a correlation of constant predictions has none."""


def to_device(inputs: Inputs, device: torch.device) -> Inputs:
    """The inputs on the device."""
    return {name: tensor.to(device) for name, tensor in inputs.items()}


@torch.no_grad()
def predict(
    model: nn.Module,
    examples: Examples,
    batch_size: int,
    device: torch.device,
    dtype: str,
    group: Group = ALONE,
) -> torch.Tensor:
    """Logits (n, outputs) in fp32 on the CPU, in the order of the examples, without dropout.

    The processes of a group take turns at the batches, and each returns all logits.
    """
    model.eval()
    batches = evaluation_batches(examples.lengths, batch_size)
    logits = torch.zeros(0)
    for first in range(0, len(batches), group.size):
        turn = batches[first : first + group.size]
        # One without a batch takes another's: a model that is divided is gathered by all.
        batch = turn[group.rank % len(turn)]
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16"):
            found = model(**to_device(examples.inputs(batch), device)).logits
        if not len(logits):
            logits = torch.zeros(len(examples), found.shape[1])
        if group.rank < len(turn):
            logits[batch] = found.float().cpu()
    return group.total(logits)


def decide(logits: torch.Tensor, task: PreparedTask) -> list[int] | list[float]:
    """Class index by the largest logit, or the single output of a regression."""
    chosen: list[int] | list[float]
    chosen = logits.argmax(dim=1).tolist() if task.labels else logits.squeeze(1).tolist()
    return chosen


def score(
    logits: torch.Tensor, labels: Sequence[int] | Sequence[float], task: PreparedTask
) -> dict[str, Score]:
    """The metrics of the task that have a value on (n, outputs) logits, each with its n.

    Raises UndefinedScoreError where the first of them, which decides, has none.
    """
    predictions = decide(logits, task)
    primary, *others = task.metrics
    scores = {primary: compute(primary, predictions, labels)}
    for name in others:
        with suppress(UndefinedScoreError):
            scores[name] = compute(name, predictions, labels)
    return scores


def compute(
    name: str, predictions: Sequence[int] | Sequence[float], labels: Sequence[int] | Sequence[float]
) -> Score:
    """The value of one metric. Raises UndefinedScoreError, and what `load_metric` raises."""
    value = float(load_metric(name).compute(predictions=predictions, references=labels)[name])
    if not math.isfinite(value):
        raise UndefinedScoreError(f"{name} has no value on {len(labels)} predictions")
    return Score(value=value, n=len(labels))


@cache
def load_metric(name: str) -> Any:
    """The module of `evaluate` of a registered metric.

    The first one takes seconds: a run loads those of its task before it takes times. Raises
    ValueError for a name that is not registered: a record from elsewhere could name a module of its
    own.
    """
    if name not in METRICS:
        raise ValueError(f"metric {name!r} is not allowed; allowed: {', '.join(METRICS)}")
    module = score_module(name)
    found = find_spec(module)
    if found is None or found.origin is None:
        raise ValueError(f"metric {name!r} has no module of evaluate, {module}")
    evaluate = import_evaluate()
    with tempfile.TemporaryDirectory() as folder:
        return evaluate.load(
            found.origin, cache_dir=folder, experiment_id=name, keep_in_memory=True
        )


def import_evaluate() -> ModuleType:
    """The library, without its optional import of pipelines that costs each run seconds."""
    pipelines = "transformers.pipelines"
    absent = pipelines not in sys.modules
    if absent:
        sys.modules[pipelines] = None  # type: ignore[assignment]  # so that its import fails
    try:
        return import_module("evaluate")
    finally:
        if absent:
            del sys.modules[pipelines]
