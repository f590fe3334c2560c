"""Pseudo-values against explicit leave-one-out loops of scikit-learn and scipy."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn import metrics

from analysis.statistics.arrays import Floats
from analysis.statistics.comparison import paired_t
from analysis.statistics.components import variance_components
from analysis.statistics.jackknife import pseudo_values
from finegrid.metrics.registry import metric

SEEDS, ITEMS = 3, 40


def draw(classes: bool) -> tuple[Floats, Floats]:
    """Labels (items,) and the predictions of three seeds (seeds, items)."""
    rng = np.random.default_rng(int(classes))
    if classes:
        label = rng.integers(2, size=ITEMS).astype(float)
        return label, np.where(rng.random((SEEDS, ITEMS)) < 0.75, label, 1 - label)
    label = rng.normal(size=ITEMS)
    return label, label + rng.normal(size=(SEEDS, ITEMS))


def statistics_of(name: str, label: Floats, predictions: Floats) -> Floats:
    """Shape (seeds, items, k)."""
    whole = pa.table({"label": np.tile(label, len(predictions)), "prediction": predictions.ravel()})
    return metric(name).statistics(whole).reshape(len(predictions), len(label), -1)


def matthews(label: Floats, found: Floats) -> float:
    return float(metrics.matthews_corrcoef(label, found))


def pearson(label: Floats, found: Floats) -> float:
    return float(stats.pearsonr(label, found)[0])


def spearman(label: Floats, found: Floats) -> float:
    return float(stats.spearmanr(label, found)[0])


LOOPS: dict[str, tuple[Callable[[Floats, Floats], float], bool]] = {
    "f1": (metrics.f1_score, True),
    "matthews_correlation": (matthews, True),
    "r2": (metrics.r2_score, False),
    "pearson": (pearson, False),
    "spearman": (spearman, False),
}


def test_pseudo_values_of_accuracy_are_the_items() -> None:
    label, predictions = draw(classes=True)
    found = pseudo_values(statistics_of("accuracy", label, predictions), metric("accuracy"))
    np.testing.assert_allclose(found, predictions == label, atol=1e-12)


def test_pseudo_values_of_the_mean_squared_error_are_the_squared_errors() -> None:
    label, predictions = draw(classes=False)
    found = pseudo_values(statistics_of("mse", label, predictions), metric("mse"))
    np.testing.assert_allclose(found, (predictions - label) ** 2, atol=1e-11)


@pytest.mark.parametrize("name", LOOPS)
def test_the_standard_error_is_that_of_a_leave_one_out_loop(name: str) -> None:
    score, classes = LOOPS[name]
    label, predictions = draw(classes)
    found = pseudo_values(statistics_of(name, label, predictions), metric(name))
    for seed in range(SEEDS):
        left = [
            score(np.delete(label, item), np.delete(predictions[seed], item))
            for item in range(ITEMS)
        ]
        # Efron and Tibshirani 1993, equation 11.5
        expected = np.sqrt((ITEMS - 1) / ITEMS * ((np.array(left) - np.mean(left)) ** 2).sum())
        assert found[seed].std(ddof=1) / np.sqrt(ITEMS) == pytest.approx(expected, rel=1e-8)
        bias_corrected = ITEMS * score(label, predictions[seed]) - (ITEMS - 1) * np.mean(left)
        assert found[seed].mean() == pytest.approx(bias_corrected)


def test_the_item_error_of_a_correlation_is_that_of_many_samples() -> None:
    """Equal seeds leave the items alone, and a large sample's error is (1 - rho^2) / sqrt(n)."""
    rng = np.random.default_rng(3)
    label = rng.normal(size=2000)
    found = 0.6 * label + 0.8 * rng.normal(size=2000)
    values = pseudo_values(
        statistics_of("pearson", label, np.stack([found] * 2)), metric("pearson")
    )
    components = variance_components(values)
    assert components.seed_error == pytest.approx(0, abs=1e-9)
    assert components.item_error == pytest.approx((1 - 0.6**2) / np.sqrt(2000), rel=0.08)


def test_a_score_without_a_value_has_no_pseudo_value() -> None:
    label = np.array([0.0, 0.0, 1.0])
    statistics = statistics_of("pearson", label, np.array([[1.0, 2.0, 3.0]]))
    # without the last item the labels are equal
    assert np.isnan(pseudo_values(statistics, metric("pearson"))).tolist() == [[False, False, True]]


def test_chunks_of_left_out_items_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    label, predictions = draw(classes=False)
    statistics = statistics_of("spearman", label, predictions)
    whole = pseudo_values(statistics, metric("spearman"))
    monkeypatch.setattr("finegrid.metrics.contract.CHUNK_VALUES", 3 * ITEMS)
    np.testing.assert_array_equal(pseudo_values(statistics, metric("spearman")), whole)


def test_a_t_test_over_items_takes_pseudo_values() -> None:
    """Its error is the jackknife error of the difference, both variants without the same item."""
    label, predictions = draw(classes=True)
    one, other = (
        pseudo_values(statistics_of("f1", label, side[np.newaxis]), metric("f1"))[0]
        for side in predictions[:2]
    )
    left = np.array(
        [
            metrics.f1_score(np.delete(label, item), np.delete(predictions[0], item))
            - metrics.f1_score(np.delete(label, item), np.delete(predictions[1], item))
            for item in range(ITEMS)
        ]
    )
    error = np.sqrt((ITEMS - 1) / ITEMS * ((left - left.mean()) ** 2).sum())
    found = paired_t(one, other)
    statistic = found.difference.mean / error
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(statistic), ITEMS - 1))
