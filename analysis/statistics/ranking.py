"""How stable the order of the variants of one task is."""

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics.arrays import Floats, checked
from analysis.statistics.bootstrap import RESAMPLES, resampled_means

ROUNDING = 1e-12
"""Means closer than this share of the largest score are tied: sums round in the last digits."""


def flip_shares(scores: ArrayLike, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Share of resamples that order a pair unlike the scores do, shape (variants, variants).

    scores: shape (seeds, items, variants), the score of each test item under each seed. Seeds and
    items are resampled; a drawn seed and a drawn item are the same for all variants (see
    `resampled_means`). One of a pair is better, tied or worse; any change among the three is a
    flip.

    Raises ValueError for fewer than two seeds, items or variants, for a score that is not finite
    and for fewer than one resample.
    """
    array = checked(scores, "scores", seeds=2, items=2, variants=2)
    closest = ROUNDING * np.abs(array).max()
    observed = array.mean(axis=(0, 1))
    means = resampled_means(array, rng, resamples)
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
