"""The scores of the trivial predictor, which no method may be praised for reaching."""

import warnings
from collections.abc import Sequence
from typing import Any

from scipy.stats import ConstantInputWarning

from finegrid.metrics.registry import metric
from finegrid.records.prepared import PreparedTask
from finegrid.records.result import Score, Trivial
from finegrid.training.evaluation import UndefinedScoreError, compute_rows
from kinds.contract import Row
from kinds.registry import kind_named


def trivial_scores(train: Sequence[Row], test: Sequence[Row], task: PreparedTask) -> Trivial:
    """What predicts without inputs, by what is true of train, scored on what is true of test.

    Raises ValueError for a kind that has no such predictor.
    """
    output = kind_named(task.kind, task.kind_options).output
    if output.predictor is None:
        raise ValueError(f"kind {task.kind} has no trivial predictor")
    (value,) = output.trivial(train, task.labels).values()
    return Trivial(
        predictor=output.predictor,
        prediction=float(value),
        test={name: constant_score(name, value, test) for name in task.metrics},
    )


def constant_score(name: str, value: Any, truths: Sequence[Row]) -> Score | None:
    """The metric of one prediction for all examples; None where it has no value."""
    predicted = metric(name).columns[1]
    with warnings.catch_warnings():
        # that the predictions are constant is what this is about
        warnings.simplefilter("ignore", ConstantInputWarning)
        try:
            return compute_rows(name, [truth | {predicted: value} for truth in truths])
        except UndefinedScoreError:
            return None
