"""Draws with replacement: their moments in closed form, whatever the size of a chunk."""

import numpy as np
import pytest

from analysis.statistics import bootstrap
from analysis.statistics.arrays import Floats
from analysis.statistics.bootstrap import (
    UndefinedResampleError,
    chunks,
    draw_counts,
    mean_of_items,
    percentile_estimate,
    resample,
)


def resampled_means(scores: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Of scores (seeds, items, variants) that are one number an item."""
    return resample(scores[..., np.newaxis], rng, resamples).scores


def test_counts_are_multinomial() -> None:
    n, draws = 7, 60_000
    counts = draw_counts(np.random.default_rng(2), draws, n)
    assert (counts.sum(axis=1) == n).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.02)
    covariance = np.eye(n) - 1 / n
    np.testing.assert_allclose(np.cov(counts.T), covariance, atol=0.03)


@pytest.mark.parametrize("each", [1, 1000, 10 * bootstrap.CHUNK_VALUES])
def test_chunks_add_up(each: int) -> None:
    sizes = list(chunks(50, each))
    assert sum(sizes) == 50
    assert max(sizes) * each <= max(bootstrap.CHUNK_VALUES, each)


@pytest.mark.parametrize("limit", [bootstrap.CHUNK_VALUES, 64])
def test_variance_of_resampled_means_in_closed_form(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "CHUNK_VALUES", limit)
    rng = np.random.default_rng(3)
    scores = rng.random((3, 1, 2)) + rng.random((1, 20, 2)) + rng.random((3, 20, 2))
    means = resampled_means(scores, rng, 20_000)
    mean = scores.mean(axis=(0, 1))
    seeds, items = scores.mean(axis=1), scores.mean(axis=0)
    rest = scores - seeds[:, None] - items + mean
    # the effects of a two-way table are uncorrelated under independent draws of rows and columns
    expected = seeds.var(axis=0) / 3 + items.var(axis=0) / 20 + (rest**2).mean(axis=(0, 1)) / 60
    assert means.shape == (20_000, 2)
    np.testing.assert_allclose(means.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(means.var(axis=0), expected, rtol=0.04)


def test_draws_are_shared_by_the_variants() -> None:
    rng = np.random.default_rng(4)
    scores = rng.random((3, 20, 1)) + np.array([0.0, 0.25])
    means = resampled_means(scores, rng, 500)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 0.25)


def test_one_generator_state_gives_one_answer() -> None:
    scores = np.random.default_rng(5).random((3, 20, 2))
    first, again = (resampled_means(scores, np.random.default_rng(6), 100) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_score_without_a_value_in_some_resamples_is_refused_with_their_number() -> None:
    """The other variants keep theirs."""

    def undefined_without_the_first(statistics: Floats, weights: Floats) -> Floats:
        means = mean_of_items(statistics, weights)
        means[weights[:, 0] == 0, :, 0] = np.nan
        return means

    statistics = np.random.default_rng(7).random((2, 3, 2, 1))
    rng = np.random.default_rng(1)
    drawn = resample(statistics, rng, 1000, undefined_without_the_first)
    plain = resample(statistics, np.random.default_rng(1), 1000)
    np.testing.assert_array_equal(drawn.of(1).scores, plain.of(1).scores)
    # the first of three items is in no draw of (2 / 3)^3
    with pytest.raises(
        UndefinedResampleError, match=r"no value in (28|29|30)\d of 1,000 resamples"
    ):
        drawn.of(0, 1)


def test_percentiles_of_known_values() -> None:
    found = percentile_estimate(7.0, np.arange(101.0), confidence=0.9)
    assert (found.value, found.resamples) == (7, 101)
    assert found.low == pytest.approx(5)
    assert found.high == pytest.approx(95)
