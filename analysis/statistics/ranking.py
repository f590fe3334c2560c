"""How stable the order of the variants of one task is."""

import numpy as np

from analysis.statistics.arrays import Floats
from analysis.statistics.bootstrap import Resampled

ROUNDING = 1e-12
"""Means closer than this share of the largest score are tied: sums round in the last digits."""


def flip_shares(resampled: Resampled) -> Floats:
    """Share of resamples that order a pair unlike the scores do, shape (variants, variants).

    One of a pair is better, tied or worse; any change among the three is a flip, so that the
    metric's sign does not matter.
    """
    observed, means = resampled.observed, resampled.scores
    closest = ROUNDING * max(np.abs(observed).max(), np.abs(means).max())
    flips = np.empty((observed.size, observed.size))
    for variant in range(observed.size):
        order = _order(observed - observed[variant], closest)
        flipped = _order(means - means[:, [variant]], closest) != order
        flips[variant] = np.mean(flipped, axis=0)
    return flips


def _order(differences: Floats, closest: float) -> Floats:
    """1 for better, 0 for tied, -1 for worse."""
    signs: Floats = np.sign(differences) * (np.abs(differences) > closest)
    return signs
