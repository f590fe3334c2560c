"""Jackknife pseudo-values: what each test item stands for in a score that is no mean over items."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics.arrays import Floats, checked


class Score(Protocol):
    """A score of statistics (items, ..., k), as every metric is."""

    def score(self, statistics: Floats) -> Floats:
        """Of all items, shape (...)."""

    def without_each(self, statistics: Floats) -> Floats:
        """Without each item in turn, shape (items, ...)."""


def pseudo_values(statistics: ArrayLike, metric: Score) -> Floats:
    """Jackknife pseudo-values of a score, shape (seeds, items).

    statistics: shape (seeds, items, k), what each of n items contributes under each seed. The
    pseudo-value of item i under a seed is n T(S) - (n - 1) T(S - z_i), where S is the sum of its
    statistics and T the score. Of a mean over items it is the item. Their variance over the items,
    over n, is that of the score by the jackknife (Tukey 1958, Bias and confidence in not quite
    large samples; Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 11). NaN
    where the score has no value. Raises ValueError for no seed, for fewer than two items and for a
    statistic that is not finite.
    """
    array = checked(statistics, "statistics", seeds=1, items=2, k=1)
    by_item = array.swapaxes(0, 1)
    items = len(by_item)
    values: Floats = items * metric.score(by_item) - (items - 1) * metric.without_each(by_item)
    return np.ascontiguousarray(values.T)
