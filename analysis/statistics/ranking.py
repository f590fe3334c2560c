"""How stable the order of the variants of one task is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics.arrays import Floats, checked
from analysis.statistics.bootstrap import RESAMPLES, resampled_means

ROUNDING = 1e-12
"""Means closer than this share of the largest score are tied: sums round in the last digits."""


@dataclass(frozen=True, eq=False)
class RankStability:
    """How the order of the variants changes under resampling."""

    flips: Floats
    """Shape (variants, variants): share of resamples that order the pair unlike the scores do."""
    taus: Floats
    """Shape (resamples,): Kendall's tau between the resampled and the observed ranking."""

    @property
    def mean_tau(self) -> float:
        """Mean of `taus`."""
        return float(self.taus.mean())


def rank_stability(
    scores: ArrayLike, rng: np.random.Generator, resamples: int = RESAMPLES
) -> RankStability:
    """Resample seeds and items and compare the order of the mean scores with the observed order.

    scores: shape (seeds, items, variants), the score of each test item under each seed. A drawn
    seed and a drawn item are the same for all variants (see `resampled_means`). A pair is better,
    tied or worse; any change among the three is a flip. Tau is Kendall's tau-a: concordant less
    discordant pairs over all pairs, so that a tied pair counts for neither (Kendall 1938, A new
    measure of rank correlation).

    Raises ValueError for fewer than two seeds, items or variants, for a score that is not finite
    and for fewer than one resample.
    """
    array = checked(scores, "scores", seeds=2, items=2, variants=2)
    closest = ROUNDING * np.abs(array).max()
    observed = array.mean(axis=(0, 1))
    means = resampled_means(array, rng, resamples)
    variants = observed.size
    flips, concordance = np.empty((variants, variants)), np.zeros(resamples)
    for variant in range(variants):
        order = _order(observed - observed[variant], closest)
        resampled = _order(means - means[:, [variant]], closest)
        flips[variant] = np.mean(resampled != order, axis=0)
        concordance += resampled @ order
    return RankStability(flips, concordance / (variants * (variants - 1)))


def _order(differences: Floats, closest: float) -> Floats:
    """1 for better, 0 for tied, -1 for worse."""
    signs: Floats = np.sign(differences) * (np.abs(differences) > closest)
    return signs
