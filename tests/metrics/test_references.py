"""The statistics of metrics against scikit-learn and scipy under weights, and where they end."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn import metrics

from finegrid.metrics.contract import Floats
from finegrid.metrics.registry import metric


def table(label: Floats, prediction: Floats) -> pa.Table:
    return pa.table({"label": label.astype(float), "prediction": prediction.astype(float)})


def score(name: str, label: Floats, prediction: Floats, weights: Floats | None = None) -> float:
    one = metric(name)
    statistics = one.statistics(table(label, prediction))
    if weights is None:
        return float(one.score(statistics))
    return float(one.weighted(statistics, weights[np.newaxis])[0])


Reference = Callable[[Floats, Floats, Floats], float]


def macro_f1(label: Floats, found: Floats, weights: Floats) -> float:
    return float(
        metrics.f1_score(label, found, average="macro", sample_weight=weights, zero_division=0.0)
    )


WEIGHTED: dict[str, Reference] = {
    "accuracy": lambda y, f, w: metrics.accuracy_score(y, f, sample_weight=w),
    "f1": lambda y, f, w: metrics.f1_score(y, f, sample_weight=w, zero_division=0.0),
    "macro_f1": macro_f1,
    "matthews_correlation": lambda y, f, w: metrics.matthews_corrcoef(y, f, sample_weight=w),
    "mse": lambda y, f, w: metrics.mean_squared_error(y, f, sample_weight=w),
    "r2": lambda y, f, w: metrics.r2_score(y, f, sample_weight=w),
}


@pytest.mark.parametrize(
    ("name", "classes"),
    [(name, 2) for name in WEIGHTED] + [(name, 5) for name in WEIGHTED if name != "f1"],
)
def test_any_weights_as_scikit_learn_has_them(name: str, classes: int) -> None:
    rng = np.random.default_rng(classes)
    for _ in range(10):
        label, other = rng.integers(classes, size=(2, 60)).astype(float)
        found = np.where(rng.random(60) < 0.6, label, other)
        # every item counts: scikit-learn takes a class of weight 0 for one that occurs
        weights = rng.random(60) + 0.1
        expected = WEIGHTED[name](label, found, weights)
        assert score(name, label, found, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "reference"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)]
)
def test_correlations_of_repeated_items_as_scipy_has_them(
    name: str, reference: Callable[..., tuple[float, float]]
) -> None:
    rng = np.random.default_rng(8)
    for digits in (0, 1, 8):
        label = rng.normal(size=30).round(digits)
        found = (label + rng.normal(size=30)).round(digits)
        counts = rng.integers(0, 4, 30)
        expected = reference(np.repeat(label, counts), np.repeat(found, counts))[0]
        assert score(name, label, found, counts.astype(float)) == pytest.approx(expected)


def test_a_class_that_only_some_items_have_is_left_out_with_them() -> None:
    label, found = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])
    without = np.array([1.0, 1.0, 0.0])
    assert score("macro_f1", label, found, without) == 1
    assert score("macro_f1", label, found) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_the_matthews_correlation_of_two_classes_by_its_four_cells() -> None:
    rng = np.random.default_rng(9)
    label, found = rng.integers(2, size=(2, 50))
    tp, tn = (label & found).sum(), ((1 - label) & (1 - found)).sum()
    fp, fn = ((1 - label) & found).sum(), (label & (1 - found)).sum()
    expected = (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert score("matthews_correlation", label, found) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "origin"), [("pearson", 1e7), ("r2", 1e7), ("spearman", 1e7)])
def test_a_far_origin_costs_no_digits(name: str, origin: float) -> None:
    rng = np.random.default_rng(10)
    label = rng.normal(size=200)
    found = label + rng.normal(size=200)
    there = score(name, label + origin, found + origin)
    assert there == pytest.approx(score(name, label, found), abs=1e-8)


@pytest.mark.parametrize("name", ["pearson", "spearman", "r2"])
def test_equal_labels_have_no_score_however_they_are_rounded(name: str) -> None:
    rng = np.random.default_rng(11)
    label = np.full(7, 0.1)
    label[0] = 0.7
    weights = np.ones(7)
    weights[0] = 0
    assert np.isnan(score(name, label, rng.random(7), weights))


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_equal_predictions_have_no_correlation(name: str) -> None:
    assert np.isnan(score(name, np.arange(5.0), np.full(5, 0.3)))


def test_f1_refuses_more_than_two_classes() -> None:
    with pytest.raises(ValueError, match="macro_f1"):
        metric("f1").statistics(table(np.array([0.0, 2.0]), np.array([0.0, 1.0])))


@pytest.mark.parametrize("name", ["macro_f1", "matthews_correlation"])
@pytest.mark.parametrize("odd", [-1.0, 0.5])
def test_what_is_no_class_is_refused(name: str, odd: float) -> None:
    with pytest.raises(ValueError, match="whole number"):
        metric(name).statistics(table(np.array([0.0, odd]), np.array([0.0, 1.0])))
