"""The bootstrap of scores that are no means, against scipy and every resample by scikit-learn."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from analysis.statistics.arrays import Floats
from analysis.statistics.bootstrap import mean_of_items, resample
from analysis.statistics.comparison import paired_bootstrap
from analysis.statistics.front import Runs, front_probability, pareto_front
from analysis.statistics.ranking import flip_shares
from finegrid.metrics.registry import metric


def statistics_of(name: str, label: Floats, predictions: Floats) -> Floats:
    """Shape (..., items, k) of labels (items,) and predictions (..., items)."""
    labels = np.broadcast_to(label, predictions.shape)
    whole = pa.table({"label": labels.ravel(), "prediction": predictions.ravel()})
    return metric(name).statistics(whole).reshape(*predictions.shape, -1)


def agreeing(rng: np.random.Generator, label: Floats, shape: tuple[int, ...]) -> Floats:
    """Predictions (..., items) of two classes that are right in three of four items."""
    return np.where(rng.random((*shape, len(label))) < 0.75, label, 1 - label)


def plain_f1(label: Floats, found: Floats, axis: int = -1) -> Floats:
    over: Floats = 2 * (label * found).sum(axis=axis)
    under: Floats = (label + found).sum(axis=axis)
    return over / under


def test_the_interval_of_f1_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(2, size=300).astype(float)
    first, second = agreeing(rng, label, (2,))

    def difference(label: Floats, one: Floats, other: Floats, axis: int) -> Floats:
        return plain_f1(label, one, axis) - plain_f1(label, other, axis)

    expected = stats.bootstrap(
        (label, first, second),
        difference,
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    )
    both = statistics_of("f1", label, np.stack([first, second]))[np.newaxis].swapaxes(1, 2)
    both = np.repeat(both, 2, axis=0)  # two equal seeds, whose draw changes nothing
    weighted = metric("f1").weighted
    scores = resample(both, np.random.default_rng(3), 20_000, weighted).scores
    differences = scores[:, 0] - scores[:, 1]
    low, high = np.quantile(differences, [0.025, 0.975])
    assert differences.std() == pytest.approx(expected.standard_error, rel=0.03)
    interval = expected.confidence_interval
    assert [low, high] == pytest.approx([interval.low, interval.high], abs=0.003)


@pytest.fixture(scope="module")
def small() -> tuple[Floats, Floats]:
    """Three labels and the predictions (seeds, items, variants) of two seeds and two variants."""
    rng = np.random.default_rng(4)
    return np.array([1.0, 0.0, 1.0]), rng.integers(2, size=(2, 3, 2)).astype(float)


@pytest.fixture(scope="module")
def every(small: tuple[Floats, Floats]) -> Floats:
    """The mean F1 of each variant in each resample of seeds and items, (resamples, variants)."""
    label, predictions = small
    return np.array(
        [
            [
                np.mean(
                    [
                        f1_score(label[at], predictions[seed, at, variant], zero_division=0.0)
                        for seed in seeds
                    ]
                )
                for variant in range(2)
            ]
            for seeds in itertools.product(range(2), repeat=2)
            for at in map(list, itertools.product(range(3), repeat=3))
        ]
    )


def of_small(small: tuple[Floats, Floats]) -> Floats:
    """Shape (seeds, items, variants, k)."""
    label, predictions = small
    return statistics_of("f1", label, predictions.swapaxes(1, 2)).swapaxes(1, 2)


def test_paired_bootstrap_of_f1_equals_the_enumeration(
    small: tuple[Floats, Floats], every: Floats
) -> None:
    rng = np.random.default_rng(5)
    drawn = resample(of_small(small), rng, 40_000, metric("f1").weighted)
    found = paired_bootstrap(drawn, 0.8)
    differences = every[:, 0] - every[:, 1]
    assert found.probability_positive == pytest.approx((differences > 1e-12).mean(), abs=0.01)
    assert found.probability_negative == pytest.approx((differences < -1e-12).mean(), abs=0.01)
    bounds = [found.difference.low, found.difference.high]
    assert bounds == pytest.approx(np.quantile(differences, [0.1, 0.9]), abs=1e-9)
    label, predictions = small
    whole = np.mean(
        [plain_f1(label, one[..., 0]) - plain_f1(label, one[..., 1]) for one in predictions]
    )
    assert found.difference.value == pytest.approx(whole)


def test_flips_of_f1_equal_the_enumeration(small: tuple[Floats, Floats], every: Floats) -> None:
    rng = np.random.default_rng(6)
    found = flip_shares(resample(of_small(small), rng, 40_000, metric("f1").weighted))
    label, predictions = small
    means = plain_f1(label[:, np.newaxis], predictions, axis=1).mean(axis=0)
    orders = np.sign((every[:, 0] - every[:, 1]).round(9))
    assert found[0, 1] == pytest.approx(np.mean(orders != np.sign(means[0] - means[1])), abs=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_front_of_f1_equals_the_enumeration(
    small: tuple[Floats, Floats], every: Floats, sign: int
) -> None:
    costs = [[1.0, 1.0], [2.0, 2.0]]
    statistics = np.moveaxis(of_small(small), 2, 0)
    cells = [
        Runs.of("cell", (0, 1), np.transpose([cost]), one)
        for cost, one in zip(costs, statistics, strict=True)
    ]
    rng = np.random.default_rng(7)
    found = front_probability(cells, rng, 40_000, metric("f1").weighted, sign)
    hits = [pareto_front([[1.0], [2.0]], sign * scores.round(9)) for scores in every]
    np.testing.assert_allclose(found, np.mean(hits, axis=0), atol=0.01)


def test_the_statistics_of_accuracy_give_the_numbers_of_its_items() -> None:
    rng = np.random.default_rng(8)
    label = rng.integers(3, size=60).astype(float)
    predictions = np.where(rng.random((2, 3, 60)) < 0.7, label, (label + 1) % 3)
    statistics = np.moveaxis(statistics_of("accuracy", label, predictions), 0, 2)
    right = np.moveaxis((predictions == label).astype(float), 0, 2)[..., np.newaxis]
    drawn = [
        resample(one, np.random.default_rng(9), weighted=weighted)
        for one, weighted in ((statistics, metric("accuracy").weighted), (right, mean_of_items))
    ]
    assert paired_bootstrap(drawn[0]) == paired_bootstrap(drawn[1])
    # the mean over seeds and items at once, as whole numbers over their number
    whole = drawn[0].scores * 3 * 60
    np.testing.assert_allclose(whole, whole.round(), atol=1e-10)
