"""Flips of the order against enumeration of every resample."""

import itertools

import numpy as np
import pytest

from analysis.statistics.bootstrap import resample
from analysis.statistics.ranking import flip_shares as flips_of


def flip_shares(scores: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Of scores (seeds, items, variants) that are one number an item."""
    return flips_of(resample(scores[..., np.newaxis], rng, resamples))


def test_flips_equal_the_enumeration_of_all_resamples() -> None:
    scores = np.random.default_rng(13).integers(4, size=(2, 3, 3))
    observed = np.sign(np.subtract.outer(*[scores.sum(axis=(0, 1))] * 2))
    orders = []
    for seeds in itertools.product(range(2), repeat=2):
        for items in itertools.product(range(3), repeat=3):
            sums = scores[np.ix_(seeds, items)].sum(axis=(0, 1))
            orders.append(np.sign(np.subtract.outer(sums, sums)))
    found = flip_shares(scores, np.random.default_rng(14), resamples=40_000)
    expected = np.mean(np.array(orders) != observed, axis=0)
    assert 0.05 < expected[0, 1] < 0.95
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_variants_far_apart_never_flip() -> None:
    scores = np.random.default_rng(17).random((3, 10, 3)) + np.array([0, 5, -5])
    assert not flip_shares(scores, np.random.default_rng(18), resamples=300).any()


def test_twins_stay_tied() -> None:
    one = np.random.default_rng(19).random((3, 11, 1)) / 3
    scores = np.concatenate([one, one, one + 1], axis=2)
    assert not flip_shares(scores, np.random.default_rng(20), resamples=300).any()


def test_rounding_breaks_no_tie() -> None:
    # in binary 0.1 + 0.2 + 0.3 is above 0.3 + 0.2 + 0.1, yet the variants are tied
    scores = np.tile(np.array([[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]]), (2, 1, 1))
    found = flip_shares(scores, np.random.default_rng(23), resamples=40_000)
    # tied in 7 of 27 draws: each item once (6 ways), or the middle one three times (1 way)
    assert found[0, 1] == pytest.approx(20 / 27, abs=0.01)


def test_flips_are_symmetric_with_an_empty_diagonal() -> None:
    scores = np.random.default_rng(21).random((3, 8, 4))
    flips = flip_shares(scores, np.random.default_rng(22), resamples=500)
    np.testing.assert_array_equal(flips, flips.T)
    assert not np.diag(flips).any()
    assert flips.max() > 0.1
