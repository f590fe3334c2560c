"""Resampling with replacement: draws as counts, in chunks that fit in memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.statistics.arrays import Floats, check_share

RESAMPLES = 10_000
"""The default number of resamples: a tail of 2.5 % then rests on 250 of them."""

CHUNK_VALUES = 2**22
"""Numbers that a chunk may hold: 32 MiB as float64."""


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


def resampled_means(scores: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Mean scores of the variants under resampling of seeds and of items, (resamples, variants).

    scores: shape (seeds, items, variants). Seeds and items are drawn with replacement and
    independently of each other, and a drawn item counts for every drawn seed and every variant:
    all seeds are tested on the same items, and all variants share both (Owen 2007, The pigeonhole
    bootstrap). Items drawn anew for each seed would average away their difficulty.
    """
    seeds, items, variants = scores.shape
    by_item = scores.transpose(1, 0, 2).reshape(items, seeds * variants)
    parts = []
    for size in chunks(resamples, max(items, seeds * variants)):
        sums = draw_counts(rng, size, items) @ by_item
        counts = draw_counts(rng, size, seeds)
        parts.append(np.einsum("rs,rsv->rv", counts, sums.reshape(size, seeds, variants)))
    means: Floats = np.concatenate(parts) / (seeds * items)
    return means
