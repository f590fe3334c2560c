"""Resampling with replacement: draws as counts, in chunks that fit in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics.arrays import Floats, check_share, checked

RESAMPLES = 10_000
"""The default number of resamples: a tail of 2.5 % then rests on 250 of them."""

CHUNK_VALUES = 2**22
"""Numbers that a chunk may hold: 32 MiB as float64."""


Weighted = Callable[[Floats, Floats], Floats]
"""The score of statistics (items, ..., k) under weights (draws, items): shape (draws, ...)."""


class UndefinedResampleError(ValueError):
    """A score that has no value in some of the resamples, so that their spread is not its own."""


@dataclass(frozen=True)
class Estimate:
    """A statistic with its percentile bootstrap interval, in the unit of the statistic."""

    value: float
    low: float
    high: float
    resamples: int


def percentile_estimate(value: float, resampled: Floats, confidence: float) -> Estimate:
    """`value` between the percentiles of its resampled values, shape (resamples,).

    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13. Raises ValueError
    unless 0 < confidence < 1.
    """
    check_share(confidence, "confidence")
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high), len(resampled))


def chunks(resamples: int, values_each: int) -> Iterator[int]:
    """Sizes that add up to `resamples`, where one resample takes `values_each` numbers.

    Raises ValueError for fewer than one resample.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    size = max(1, CHUNK_VALUES // values_each)
    for start in range(0, resamples, size):
        yield min(size, resamples - start)


def draw_counts(rng: np.random.Generator, draws: int, n: int) -> Floats:
    """How often each of n units occurs in a resample of n of them, shape (draws, n)."""
    drawn = rng.integers(n, size=(draws, n))
    drawn += n * np.arange(draws)[:, np.newaxis]
    counts = np.bincount(drawn.ravel(), minlength=draws * n)
    return counts.reshape(draws, n).astype(np.float64)


def mean_of_items(statistics: Floats, weights: Floats) -> Floats:
    """The weighted mean of one number an item, statistics (items, ..., 1): shape (draws, ...)."""
    sums: Floats = np.tensordot(weights, statistics[..., 0], axes=1)
    means: Floats = (sums.T / weights.sum(axis=1)).T
    return means


def mean_scores(statistics: Floats, weighted: Weighted) -> Floats:
    """The mean over seeds of the score of all items: (variants,) of (seeds, items, variants, k)."""
    by_item = statistics.swapaxes(0, 1)
    means: Floats = weighted(by_item, np.ones((1, len(by_item))))[0].mean(axis=0)
    return means


@dataclass(frozen=True, eq=False)
class Resampled:
    """Mean scores of variants that share seeds and items, as observed and as resampled together."""

    observed: Floats
    """Shape (variants,)."""
    scores: Floats
    """Shape (resamples, variants); not finite where a score has no value."""

    def of(self, *variants: int) -> "Resampled":
        """Those of some variants. Raises UndefinedResampleError where one has no value in some."""
        chosen = list(variants)
        return Resampled(self.observed[chosen], defined(self.scores[:, chosen]))


def resample(
    statistics: ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    weighted: Weighted = mean_of_items,
) -> Resampled:
    """Mean scores of the variants under resampling of seeds and of items.

    statistics: shape (seeds, items, variants, k), what each item contributes to the score T. With
    c the counts of drawn items and w those of drawn seeds, a resample gives
    sum_s w_s T(c · z_s) / sum_s w_s. Seeds and items are drawn with replacement and independently
    of each other, and a drawn item counts for every drawn seed and every variant: all seeds are
    tested on the same items, and all variants share both (Owen 2007, The pigeonhole bootstrap).
    Items drawn anew for each seed would average away their difficulty. Raises ValueError for fewer
    than two seeds or items, for a statistic that is not finite and for fewer than one resample.
    """
    array = checked(statistics, "statistics", seeds=2, items=2, variants=1, k=1)
    seeds, items, variants, k = array.shape
    by_item = np.ascontiguousarray(array.swapaxes(0, 1))
    parts = []
    for size in chunks(resamples, max(items, seeds * variants * k)):
        scores = weighted(by_item, draw_counts(rng, size, items))  # (size, seeds, variants)
        counts = draw_counts(rng, size, seeds)
        parts.append(np.einsum("rs,rsv->rv", counts, scores) / seeds)
    return Resampled(mean_scores(array, weighted), np.concatenate(parts))


def defined(resampled: Floats) -> Floats:
    """`resampled`, shape (resamples, ...), if all of it is a number.

    Raises UndefinedResampleError that says how many resamples are not.
    """
    broken = ~np.isfinite(resampled)
    if broken.any():
        lost = np.count_nonzero(broken.reshape(len(broken), -1).any(axis=1))
        raise UndefinedResampleError(f"no value in {lost:,} of {len(broken):,} resamples")
    return resampled
