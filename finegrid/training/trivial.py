"""The scores of the trivial predictor, which no method may be praised for reaching."""

import warnings
from collections.abc import Sequence
from statistics import fmean

from scipy.stats import ConstantInputWarning

from finegrid.records.prepared import PreparedTask
from finegrid.records.result import Score, Trivial
from finegrid.training.evaluation import UndefinedScoreError, compute

Labels = Sequence[int] | Sequence[float]


def trivial_scores(train: Labels, test: Labels, task: PreparedTask) -> Trivial:
    """The majority class or the mean of the labels of train, scored on those of test."""
    prediction: float
    if task.labels:
        # the largest count; of equal ones max keeps the first, the lowest class
        prediction = max(range(len(task.labels)), key=list(train).count)
    else:
        prediction = fmean(train)
    return Trivial.model_validate(
        {
            "predictor": "majority class" if task.labels else "mean",
            "prediction": float(prediction),
            "test": {name: constant_score(name, prediction, test) for name in task.metrics},
        }
    )


def constant_score(name: str, prediction: float, labels: Labels) -> Score | None:
    """The metric of one prediction for all examples; None where it has no value."""
    with warnings.catch_warnings():
        # that the predictions are constant is what this is about
        warnings.simplefilter("ignore", ConstantInputWarning)
        try:
            return compute(name, [prediction] * len(labels), labels)
        except UndefinedScoreError:
            return None
