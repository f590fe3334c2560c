"""How stable the order of the variants of one task is."""

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics.arrays import Floats, checked
from analysis.statistics.bootstrap import (
    RESAMPLES,
    Weighted,
    mean_of_items,
    mean_scores,
    resampled_scores,
)

ROUNDING = 1e-12
"""Means closer than this share of the largest score are tied: sums round in the last digits."""


def flip_shares(
    statistics: ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    weighted: Weighted = mean_of_items,
) -> Floats:
    """Share of resamples that order a pair unlike the scores do, shape (variants, variants).

    statistics: shape (seeds, items, variants, k), what each test item contributes under each seed
    to the score that `weighted` makes of them. Seeds and items are resampled; a drawn seed and a
    drawn item are the same for all variants (see `resampled_scores`). One of a pair is better, tied
    or worse; any change among the three is a flip, so that the metric's sign does not matter.

    Raises ValueError for fewer than two seeds, items or variants, for a statistic that is not
    finite and for fewer than one resample; UndefinedResampleError where the score has no value in
    some resamples.
    """
    array = checked(statistics, "statistics", seeds=2, items=2, variants=2, k=1)
    observed = mean_scores(array, weighted)
    means = resampled_scores(array, weighted, rng, resamples)
    closest = ROUNDING * max(np.abs(observed).max(), np.abs(means).max())
    flips = np.empty((observed.size, observed.size))
    for variant in range(observed.size):
        order = _order(observed - observed[variant], closest)
        resampled = _order(means - means[:, [variant]], closest)
        flips[variant] = np.mean(resampled != order, axis=0)
    return flips


def _order(differences: Floats, closest: float) -> Floats:
    """1 for better, 0 for tied, -1 for worse."""
    signs: Floats = np.sign(differences) * (np.abs(differences) > closest)
    return signs
