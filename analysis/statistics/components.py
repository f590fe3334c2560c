"""The variance of a mean score, split into the part of the seeds and that of the test items."""

from dataclasses import dataclass
from math import sqrt

from numpy.typing import ArrayLike

from analysis.statistics.arrays import checked


@dataclass(frozen=True)
class VarianceComponents:
    """A mean score and the variances behind it, in the unit of the score or its square."""

    mean: float
    seed_variance: float
    item_variance: float
    residual_variance: float
    seeds: int
    items: int

    @property
    def seed_error(self) -> float:
        """Standard error of the mean due to the seeds: what more test items would not lower."""
        return sqrt(self.seed_variance / self.seeds)

    @property
    def item_error(self) -> float:
        """Standard error of the mean due to the test items: what more seeds would not lower."""
        return sqrt(self.item_variance / self.items)

    @property
    def residual_error(self) -> float:
        """Standard error of the mean due to seeds that differ on single items."""
        return sqrt(self.residual_variance / (self.seeds * self.items))

    @property
    def total_error(self) -> float:
        """Standard error of the mean for new seeds and new items: its square adds up the three."""
        return sqrt(self.seed_error**2 + self.item_error**2 + self.residual_error**2)


def variance_components(scores: ArrayLike) -> VarianceComponents:
    """Variance components of one cell, by the method of moments of a two-way analysis of variance.

    scores: shape (seeds, items), the score of each test item under each seed, such as 0 or 1; of a
    score that is no mean over items, its pseudo-values (see `jackknife.pseudo_values`).
    The model is x[s, i] = mean + a[s] + b[i] + e[s, i] with independent random effects: a of the
    seed, b of the item (its difficulty, shared by all seeds), e of both together. The mean squares
    are set equal to their expectations, and a negative estimate becomes 0 (Searle, Casella and
    McCulloch 1992, Variance Components, chapter 4). The variance of the mean is
    var(a) / seeds + var(b) / items + var(e) / (seeds * items).

    Raises ValueError for fewer than two seeds or items and for a score that is not finite.
    """
    array = checked(scores, "scores", seeds=2, items=2)
    seeds, items = array.shape
    mean = array.mean()
    by_seed, by_item = array.mean(axis=1) - mean, array.mean(axis=0) - mean
    rest = array - mean - by_seed[:, None] - by_item
    residual = (rest**2).sum() / ((seeds - 1) * (items - 1))
    of_seeds = by_seed.var(ddof=1) - residual / items
    of_items = by_item.var(ddof=1) - residual / seeds
    return VarianceComponents(
        mean=float(mean),
        seed_variance=max(0.0, float(of_seeds)),
        item_variance=max(0.0, float(of_items)),
        residual_variance=float(residual),
        seeds=seeds,
        items=items,
    )
