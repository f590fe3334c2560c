"""Rank stability against enumeration of every resample and against scipy's tau."""

import itertools

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.bootstrap import resampled_means
from analysis.statistics.ranking import rank_stability


def test_flips_and_tau_equal_the_enumeration_of_all_resamples() -> None:
    scores = np.random.default_rng(13).integers(4, size=(2, 3, 3))
    observed = np.sign(np.subtract.outer(*[scores.sum(axis=(0, 1))] * 2))
    orders = []
    for seeds in itertools.product(range(2), repeat=2):
        for items in itertools.product(range(3), repeat=3):
            sums = scores[np.ix_(seeds, items)].sum(axis=(0, 1))
            orders.append(np.sign(np.subtract.outer(sums, sums)))
    found = rank_stability(scores, np.random.default_rng(14), resamples=40_000)
    expected = np.mean(np.array(orders) != observed, axis=0)
    assert 0.05 < expected[0, 1] < 0.95
    np.testing.assert_allclose(found.flips, expected, atol=0.01)
    tau = np.mean([(order * observed).sum() / 6 for order in orders])
    assert found.mean_tau == pytest.approx(tau, abs=0.01)


def test_tau_equals_scipy_where_nothing_is_tied() -> None:
    scores = np.random.default_rng(15).random((3, 10, 5))
    found = rank_stability(scores, np.random.default_rng(16), resamples=60)
    means = resampled_means(scores, np.random.default_rng(16), 60)
    observed = scores.mean(axis=(0, 1))
    expected = [stats.kendalltau(row, observed).statistic for row in means]
    np.testing.assert_allclose(found.taus, expected, atol=1e-12)
    assert found.mean_tau == pytest.approx(np.mean(expected))


def test_variants_far_apart_never_flip() -> None:
    scores = np.random.default_rng(17).random((3, 10, 3)) + np.array([0, 5, -5])
    found = rank_stability(scores, np.random.default_rng(18), resamples=300)
    assert not found.flips.any()
    assert (found.taus == 1).all()


def test_twins_stay_tied_and_count_for_no_pair() -> None:
    one = np.random.default_rng(19).random((3, 11, 1)) / 3
    found = rank_stability(
        np.concatenate([one, one, one + 1], axis=2), np.random.default_rng(20), resamples=300
    )
    assert not found.flips.any()
    np.testing.assert_allclose(found.taus, 2 / 3)


def test_rounding_breaks_no_tie() -> None:
    # in binary 0.1 + 0.2 + 0.3 is above 0.3 + 0.2 + 0.1, yet the variants are tied
    scores = np.tile(np.array([[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]]), (2, 1, 1))
    found = rank_stability(scores, np.random.default_rng(23), resamples=40_000)
    # tied in 7 of 27 draws: each item once (6 ways), or the middle one three times (1 way)
    assert found.flips[0, 1] == pytest.approx(20 / 27, abs=0.01)
    assert not found.taus.any()


def test_flips_are_symmetric_with_an_empty_diagonal() -> None:
    scores = np.random.default_rng(21).random((3, 8, 4))
    flips = rank_stability(scores, np.random.default_rng(22), resamples=500).flips
    np.testing.assert_array_equal(flips, flips.T)
    assert not np.diag(flips).any()
    assert flips.max() > 0.1
