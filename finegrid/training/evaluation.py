"""Predictions on a split, and their scores by the metrics' own modules."""

import math
import sys
import tempfile
from collections.abc import Collection, Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from operator import itemgetter
from types import ModuleType
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from finegrid.metrics.registry import METRICS, metric, reads, score_module
from finegrid.records.prepared import SplitName
from finegrid.records.result import Score
from finegrid.training.batches import evaluation_batches
from finegrid.training.data import Examples
from finegrid.training.features import Features
from finegrid.training.processes.distributed import ALONE, Group
from kinds.contract import Row


class UndefinedScoreError(ArithmeticError):
    """A metric has no value, as a correlation of constant predictions has none."""


def predict(
    model: nn.Module,
    examples: Examples,
    batch_size: int,
    device: torch.device,
    dtype: str,
    group: Group = ALONE,
    metrics: Sequence[str] = (),
    features: Features | None = None,
) -> list[Row]:
    """What the model says of each row, in their order, without dropout.

    It writes where one of the metrics reads what is written, which takes a pass for each token. The
    processes of a group take turns at the batches, and each returns all rows. `features` are
    what is kept of the split from earlier calls, and for later ones.
    """
    writes = reads(metrics, examples.kind.output.written)
    batches = evaluation_batches(examples.sizes, batch_size)
    if features:
        last = partial(say, model, examples, batches[-1], device, dtype)
        features.check(len(batches) - 1, last)
    said: list[tuple[int, Row]] = []
    for first in range(0, len(batches), group.size):
        turn = batches[first : first + group.size]
        # One without a batch takes another's: a model that is divided is gathered by all.
        batch = turn[group.rank % len(turn)]
        with features.of(first) if features else nullcontext():
            rows = say(model, examples, batch, device, dtype)
        rows = _with_texts(rows, model, examples, batch, device, dtype, writes=writes)
        if group.rank < len(turn):
            said += zip(batch, rows, strict=True)
    together = (pair for part in group.gathered(said) for pair in part)
    return examples.merged([row for _, row in sorted(together, key=itemgetter(0))])


def say(
    model: nn.Module, examples: Examples, batch: Sequence[int], device: torch.device, dtype: str
) -> list[Row]:
    """What the model says of the examples of one batch, without dropout."""
    model.eval()
    with torch.no_grad(), _computed_in(dtype, device):
        return examples.kind.output.predict(model, examples.batch(batch).to(device))


def _with_texts(
    rows: list[Row],
    model: nn.Module,
    examples: Examples,
    batch: Sequence[int],
    device: torch.device,
    dtype: str,
    *,
    writes: bool,
) -> list[Row]:
    """The rows of a batch with what the model writes, or without a value where it does not."""
    output = examples.kind.output
    if not writes:
        return [row | dict.fromkeys(output.written) for row in rows] if output.written else rows
    prompts = examples.prompts(batch).to(device).inputs
    with torch.no_grad(), _computed_in(dtype, device):
        written = output.write(model, prompts, examples.processor)
    return [row | text for row, text in zip(rows, written, strict=True)]


def _computed_in(dtype: str, device: torch.device) -> torch.autocast:
    """The autocast of a training's `dtype`, off but for bf16."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bf16")


def is_finite(said: Iterable[Row]) -> bool:
    """Whether every float in what a model says is a finite number."""
    return all(_all_finite(row.values()) for row in said)


def _all_finite(values: Collection[Any]) -> bool:
    inside = (value for value in values if isinstance(value, list))
    numbers = (value for value in values if isinstance(value, float))
    return all(map(math.isfinite, numbers)) and all(map(_all_finite, inside))


def predictions(examples: Examples, said: Sequence[Row]) -> list[Row]:
    """What is true of each row and what is decided, with what the model said of it."""
    truths = examples.truths
    known = [truth | row for truth, row in zip(truths, said, strict=True)]
    decided = examples.kind.output.decide(known)
    return [
        truth | decision | row for truth, decision, row in zip(truths, decided, said, strict=True)
    ]


def prediction_table(split: SplitName, examples: Examples, said: list[Row]) -> pa.Table:
    """The rows of a split in `predictions.parquet`."""
    columns = [("split", pa.string()), ("id", pa.string()), *examples.kind.output.predicted()]
    rows = zip(examples.ids, predictions(examples, said), strict=True)
    found = [{"split": split, "id": one} | row for one, row in rows]
    return pa.Table.from_pylist(found, pa.schema(columns))


def score(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, Score]:
    """The metrics that have a value on predictions, each with its n.

    Raises UndefinedScoreError where the first of them, which decides, has none.
    """
    primary, *others = metrics
    scores = {primary: _score(primary, rows)}
    for name in others:
        with suppress(UndefinedScoreError):
            scores[name] = _score(name, rows)
    return scores


def _score(name: str, rows: Sequence[Row]) -> Score:
    one = metric(name)
    columns = {column: [row[column] for row in rows] for column in one.columns}
    found = compute_rows(name, rows)
    error = one.standard_error(one.statistics(pa.table(columns)))
    return found.model_copy(update={"standard_error": error if math.isfinite(error) else None})


def compute_rows(name: str, rows: Sequence[Row]) -> Score:
    """The value of one metric on predictions. Raises as `compute` does."""
    truths, predicted = ([row[column] for row in rows] for column in metric(name).columns)
    return compute(name, predicted, truths)


def compute(name: str, predictions: Sequence[Any], labels: Sequence[Any]) -> Score:
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
