"""The metric of rows of a table, and which way it points."""

import pandas as pd

from analysis.errors import AnalysisError
from analysis.frame import present
from finegrid.metrics.contract import WeightedMetric
from finegrid.metrics.registry import metric
from finegrid.records.registry import UnknownNameError


def metric_named(name: str) -> WeightedMetric:
    """The registered metric. Raises AnalysisError where none has the name."""
    try:
        return metric(name)
    except UnknownNameError as error:
        raise AnalysisError(str(error)) from error


def metric_of(rows: pd.DataFrame) -> WeightedMetric | None:
    """The metric that the rows have in common, or None where no row has one.

    Raises AnalysisError where they have several, or one that is not registered.
    """
    names = [str(name) for name in present(rows, "metric").unique()]
    if len(names) > 1:
        raise AnalysisError(f"these runs have several metrics: {', '.join(names)}")
    return metric_named(names[0]) if names else None


def sign_of(rows: pd.DataFrame) -> int:
    """1 where a higher score of the rows is better, -1 where a lower one is; 1 without a score.

    Raises AnalysisError as `metric_of` does.
    """
    found = metric_of(rows)
    return found.sign if found else 1
