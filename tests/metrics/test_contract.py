"""Every registered metric: its statistics give the score of its module of `evaluate`."""

import math
import warnings
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from finegrid.metrics.contract import Floats, Metric, WeightedMetric
from finegrid.metrics.registry import METRICS, metric
from finegrid.training.evaluation import UndefinedScoreError, compute, load_metric

NAMES = [name for name in METRICS if "label" in metric(name).columns]
"""Those of texts, of tags and of spans have tests of their own."""


@pytest.fixture(autouse=True)
def _undefined_scores_warn() -> Iterator[None]:
    """scikit-learn and scipy warn of what they call undefined, which is what some cases are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def table(label: Floats, prediction: Floats) -> pa.Table:
    """Predictions, whatever a metric calls them."""
    predicted = {metric(name).columns[1] for name in NAMES}
    found = dict.fromkeys(sorted(predicted), prediction.astype(float))
    return pa.table({"label": label.astype(float)} | found)


def of_classes(name: str) -> bool:
    """Whether the metric is one of class indices, as its module of `evaluate` says."""
    return str(load_metric(name).features["predictions"].dtype) == "int64"


def draw(name: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Labels and predictions that agree more often than not, some of them with ties."""
    items = int(rng.integers(3, 40))
    if of_classes(name):
        label = rng.integers(2, size=items).astype(float)
        return label, np.where(rng.random(items) < 0.7, label, 1 - label)
    label = rng.normal(3.0, 2.0, items).round(int(rng.integers(0, 4)))
    return label, label + rng.normal(0.0, 1.0, items).round(1)


EDGES: dict[str, tuple[list[float], list[float]]] = {
    "all right": ([0, 1, 1, 0], [0, 1, 1, 0]),
    "all wrong": ([0, 1, 1, 0], [1, 0, 0, 1]),
    "class 1 is no label": ([0, 0, 0], [0, 1, 0]),
    "class 1 is no prediction": ([0, 1, 0], [0, 0, 0]),
    "class 0 is neither": ([1, 1, 1], [1, 1, 1]),
    "class 1 is neither": ([0, 0, 0], [0, 0, 0]),
    "all predictions 1": ([0, 1, 0, 1], [1, 1, 1, 1]),
}


def recorded(name: str, label: Floats, prediction: Floats) -> float:
    """The score that a record would hold, NaN where it is undefined."""
    kind = int if of_classes(name) else float
    try:
        return compute(name, prediction.astype(kind).tolist(), label.astype(kind).tolist()).value
    except UndefinedScoreError:
        return math.nan


def repeated(statistics: Floats, counts: Floats) -> Floats:
    return np.repeat(statistics, counts.astype(int), axis=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_score_of_the_statistics_is_the_recorded_one(name: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(25):
        label, prediction = draw(name, rng)
        found = metric(name).score(metric(name).statistics(table(label, prediction)))
        assert found == pytest.approx(recorded(name, label, prediction), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("name", NAMES)
def test_edges_are_those_of_the_recorded_score(name: str, case: str) -> None:
    label, prediction = map(np.array, EDGES[case])
    found = metric(name).score(metric(name).statistics(table(label, prediction)))
    assert found == pytest.approx(recorded(name, label, prediction), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_repeated_items(name: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        label, prediction = draw(name, rng)
        weights = rng.multinomial(len(label), np.full(len(label), 1 / len(label)), 3).astype(float)
        found = metric(name).weighted(metric(name).statistics(table(label, prediction)), weights)
        again = [
            recorded(name, repeated(label, counts), repeated(prediction, counts))
            for counts in weights
        ]
        assert found == pytest.approx(again, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_without_each_is_the_score_of_the_others(name: str) -> None:
    label, prediction = draw(name, np.random.default_rng(3))
    found = metric(name).without_each(metric(name).statistics(table(label, prediction)))
    again = [
        recorded(name, np.delete(label, item), np.delete(prediction, item))
        for item in range(len(label))
    ]
    assert found == pytest.approx(again, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_axes_between_items_and_statistics_stay(name: str) -> None:
    rng = np.random.default_rng(4)
    label, prediction = draw(name, rng)
    one = metric(name).statistics(table(label, prediction))
    other = metric(name).statistics(table(prediction, label))
    both = np.stack([np.stack([one, other], 1)] * 3, 1)  # (items, 3, 2, k)
    weights = rng.integers(0, 3, (5, len(label))).astype(float)
    found = metric(name).weighted(both, weights)
    assert found.shape == (5, 3, 2)
    for at, statistics in enumerate((one, other)):
        expected = metric(name).weighted(statistics, weights)
        np.testing.assert_allclose(found[:, 2, at], expected, atol=1e-12)
    assert metric(name).score(both).shape == (3, 2)
    assert metric(name).without_each(both).shape == (len(label), 3, 2)


@pytest.mark.parametrize("name", NAMES)
def test_the_sign_is_that_of_the_better(name: str) -> None:
    """Predictions that are right are better than those that are wrong."""
    label = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    right, wrong = (
        metric(name).score(metric(name).statistics(table(label, found)))
        for found in (label, 1 - label)
    )
    assert metric(name).sign * right > metric(name).sign * wrong


@pytest.mark.parametrize("name", [name for name in NAMES if metric(name).binary])
def test_the_score_of_an_item_of_a_binary_metric_is_0_or_1(name: str) -> None:
    label, prediction = draw(name, np.random.default_rng(5))
    found = metric(name)
    assert isinstance(found, Metric)
    items = found.total(found.statistics(table(label, prediction)))
    assert set(items.tolist()) <= {0.0, 1.0}
    assert items.mean() == pytest.approx(recorded(name, label, prediction))


@pytest.mark.parametrize("name", NAMES)
def test_no_item_has_no_score(name: str) -> None:
    label, prediction = draw(name, np.random.default_rng(6))
    statistics = metric(name).statistics(table(label, prediction))
    if name != "f1":  # without positives it is 0 by definition
        assert np.isnan(metric(name).weighted(statistics, np.zeros((1, len(label))))).all()


def test_a_metric_is_read_by_its_registered_name() -> None:
    assert isinstance(metric("spearman"), WeightedMetric)
    assert not isinstance(metric("spearman"), Metric)
    assert [name for name in NAMES if metric(name).sign < 0] == ["mse"]


@pytest.mark.parametrize("name", NAMES)
def test_the_standard_error_is_that_of_an_independent_jackknife(name: str) -> None:
    label, prediction = draw(name, np.random.default_rng(4))
    one = metric(name)
    found = one.standard_error(one.statistics(table(label, prediction)))
    if one.binary:
        share = float((label == prediction).mean())
        assert found == pytest.approx(math.sqrt(share * (1 - share) / len(label)), abs=1e-15)
    elif isinstance(one, Metric):
        others = [
            recorded(name, np.delete(label, item), np.delete(prediction, item))
            for item in range(len(label))
        ]
        expected = math.sqrt((len(others) - 1) * float(np.var(others)))
        assert found == pytest.approx(expected, rel=1e-9)
    else:
        assert math.isnan(found)  # no function of sums
