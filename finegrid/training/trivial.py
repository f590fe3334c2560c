"""The scores of the trivial predictor, which no method may be praised for reaching."""

import warnings
from collections.abc import Sequence
from typing import Any

from scipy.stats import ConstantInputWarning

from finegrid.records.prepared import PreparedTask
from finegrid.records.result import Score, Trivial
from finegrid.training.evaluation import UndefinedScoreError, compute
from kinds.registry import kind_named


def trivial_scores(train: Sequence[Any], test: Sequence[Any], task: PreparedTask) -> Trivial:
    """What predicts without inputs, by what is true of train, scored on what is true of test."""
    output = kind_named(task.kind).output
    prediction = output.trivial(train, task.labels)
    return Trivial(
        predictor=output.predictor,
        prediction=float(prediction),
        test={name: constant_score(name, prediction, test) for name in task.metrics},
    )


def constant_score(name: str, prediction: Any, labels: Sequence[Any]) -> Score | None:
    """The metric of one prediction for all examples; None where it has no value."""
    with warnings.catch_warnings():
        # that the predictions are constant is what this is about
        warnings.simplefilter("ignore", ConstantInputWarning)
        try:
            return compute(name, [prediction] * len(labels), labels)
        except UndefinedScoreError:
            return None
