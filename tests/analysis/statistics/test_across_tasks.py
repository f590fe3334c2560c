"""Comparisons over tasks against scipy, rliable's own tests and Demsar's worked example."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.across_tasks import (
    friedman_nemenyi,
    interquartile_mean,
    mean_ranks,
    performance_profile,
    probability_of_improvement,
)

DEMSAR_RANKS = np.array(
    [
        [4, 3, 2, 1],
        [1, 2, 3, 4],
        [4, 1, 2, 3],
        [4, 1, 3, 2],
        [4, 2, 3, 1],
        [1, 2.5, 4, 2.5],
        [3, 2, 4, 1],
        [2.5, 2.5, 4, 1],
        [4, 3, 2, 1],
        [2.5, 2.5, 2.5, 2.5],
        [4, 2.5, 1, 2.5],
        [3, 2, 4, 1],
        [4, 1, 2, 3],
        [3, 1, 4, 2],
    ]
)
"""Demsar 2006, table 6: ranks of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets."""
TIED_ROWS = [2, 2, 4, 2]
"""Sizes of the ties in that table."""

RLIABLE_X = np.array([[1, 2], [2, 2], [1, 1], [2, 1]])
RLIABLE_Y = np.array([[1, 1], [2, 2], [3, 3]])
"""Runs x tasks in tests/rliable/metrics_test.py of rliable."""


def test_mean_ranks_share_ties() -> None:
    scores = [[0.9, 0.8, 0.8, 0.1], [0.1, 0.2, 0.3, 0.4], [1.0, 1.0, 1.0, 1.0]]
    np.testing.assert_allclose(mean_ranks(scores), np.array([7.5, 8, 7, 7.5]) / 3)


def test_demsar_worked_example() -> None:
    found = friedman_nemenyi(-DEMSAR_RANKS)
    np.testing.assert_allclose(found.mean_ranks, [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    at_ten_percent = friedman_nemenyi(-DEMSAR_RANKS, level=0.1)
    assert at_ten_percent.critical_difference == pytest.approx(1.12, abs=0.005)
    # the paper leaves the statistic, 9.28, without the correction for ties
    uncorrected = 1 - sum(size**3 - size for size in TIED_ROWS) / (14 * (4**3 - 4))
    assert found.statistic * uncorrected == pytest.approx(9.28, abs=0.005)


@pytest.mark.parametrize(
    ("variants", "quantile"),
    [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (10, 3.164)],
)
def test_critical_values_of_demsar_table_5(variants: int, quantile: float) -> None:
    scores = np.random.default_rng(variants).random((9, variants))
    expected = quantile * np.sqrt(variants * (variants + 1) / (6 * 9))
    assert friedman_nemenyi(scores).critical_difference == pytest.approx(expected, rel=5e-4)


def test_friedman_equals_scipy_and_the_formula_of_demsar() -> None:
    scores = np.random.default_rng(23).random((12, 5)) + np.array([0, 0.1, 0.2, 0.3, 0.4])
    found = friedman_nemenyi(scores)
    expected = stats.friedmanchisquare(*scores.T)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    by_hand = 12 * 12 / (5 * 6) * ((found.mean_ranks**2).sum() - 5 * 6**2 / 4)
    assert found.statistic == pytest.approx(by_hand, rel=1e-9)
    assert found.p_value == pytest.approx(stats.chi2.sf(by_hand, 4), rel=1e-9)


@pytest.mark.parametrize(("scores", "expected"), [(RLIABLE_X, 1.5), (RLIABLE_Y, 2)])
def test_interquartile_mean_of_rliable(scores: np.ndarray, expected: float) -> None:
    assert interquartile_mean(scores, np.random.default_rng(24), 10).value == expected


@pytest.mark.parametrize("shape", [(2, 1), (3, 5), (10, 7)])
def test_interquartile_mean_equals_scipy(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(25).random(shape)
    expected = stats.trim_mean(scores, proportiontocut=0.25, axis=None)
    found = interquartile_mean(scores, np.random.default_rng(26), 10).value
    assert found == pytest.approx(expected)


def test_interval_of_one_task_equals_the_bootstrap_of_scipy() -> None:
    scores = np.random.default_rng(27).random(30)
    found = interquartile_mean(scores[:, None], np.random.default_rng(28), 20_000, 0.9)
    expected = stats.bootstrap(
        (scores,),
        lambda values, axis: stats.trim_mean(values, 0.25, axis=axis),
        n_resamples=20_000,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(29),
    ).confidence_interval
    assert found.low == pytest.approx(expected.low, abs=0.005)
    assert found.high == pytest.approx(expected.high, abs=0.005)


def test_bootstrap_is_stratified_by_task() -> None:
    # runs that agree on each task leave nothing to resample, however the tasks differ
    scores = np.tile(np.linspace(0, 1, 8), (4, 1))
    found = interquartile_mean(scores, np.random.default_rng(30), 100)
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)


def test_probability_of_improvement_of_rliable() -> None:
    found = probability_of_improvement(RLIABLE_X, RLIABLE_Y, np.random.default_rng(31), 10)
    assert found.value == pytest.approx(1 / 3)


def test_probability_of_improvement_is_the_mann_whitney_statistic_over_pairs() -> None:
    rng = np.random.default_rng(32)
    first, second = rng.integers(6, size=(5, 4)), rng.integers(6, size=(7, 4))
    expected = np.mean(stats.mannwhitneyu(first, second, axis=0).statistic) / 35
    assert probability_of_improvement(first, second, rng, 10).value == pytest.approx(expected)


def test_probability_of_improvement_of_equal_runs_is_a_half() -> None:
    scores = np.ones((3, 2))
    found = probability_of_improvement(scores, scores, np.random.default_rng(33), 10)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("first", "second"), [([[0.0], [1.0]], [[0.5], [0.5]]), ([[0.5], [0.5]], [[0.0], [1.0]])]
)
def test_interval_of_improvement_equals_the_enumeration(
    first: list[list[float]], second: list[list[float]]
) -> None:
    # two runs, one on either side of the other variant: 0, 1/2 and 1 with odds 1 : 2 : 1
    wide = probability_of_improvement(first, second, np.random.default_rng(34), 4000, 0.6)
    narrow = probability_of_improvement(first, second, np.random.default_rng(34), 4000, 0.4)
    assert (wide.low, wide.value, wide.high) == (0, 0.5, 1)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_resampled_improvement_has_the_variance_of_independent_draws() -> None:
    # three runs against one constant: the mean of three draws of 0 or 1, over two tasks
    first = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    found = probability_of_improvement(
        first, np.full((2, 2), 0.5), np.random.default_rng(35), 40_000, 0.9
    )
    ones = stats.binom(3, 1 / 3).pmf(range(4)), stats.binom(3, 2 / 3).pmf(range(4))
    cumulated = np.convolve(*ones).cumsum()
    assert found.value == 0.5
    assert found.low == pytest.approx(np.searchsorted(cumulated, 0.05) / 6)
    assert found.high == pytest.approx(np.searchsorted(cumulated, 0.95) / 6)


def test_performance_profile_counts_what_lies_above() -> None:
    scores = np.array([[0.1, 0.5], [0.5, 0.9], [0.5, 0.2]])
    found = performance_profile(scores, [1.0, 0.0, 0.5, 0.2])
    np.testing.assert_allclose(found, [0, 1, 1 / 6, 4 / 6])


def test_performance_profile_is_one_less_the_distribution() -> None:
    scores = np.random.default_rng(36).random((4, 6))
    thresholds = np.linspace(-0.1, 1.1, 25)
    expected = 1 - stats.ecdf(scores.ravel()).cdf.evaluate(thresholds)
    np.testing.assert_allclose(performance_profile(scores, thresholds), expected, atol=1e-12)
