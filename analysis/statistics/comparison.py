"""Variants of one task compared on shared seeds and shared test items."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from analysis.statistics.arrays import Floats, check_share, checked, checked_pair
from analysis.statistics.bootstrap import Estimate, Resampled, percentile_estimate
from analysis.statistics.intervals import Interval, t_interval

NO_SPREAD = "every seed gives the same value, whose spread cannot be told"
"""Why a test over seeds has no p-value."""
ROUNDING = 1e-12
"""Differences this close are the same: they round in the last digits of scores about 1.

Of larger scores this is a share of the largest.
"""


@dataclass(frozen=True)
class PairedT:
    """The mean difference first - second over seeds, with its interval and two-sided p-value."""

    difference: Interval
    p_value: float | None
    """None where the differences have no spread; then the interval says nothing either."""


@dataclass(frozen=True)
class PairedBootstrap:
    """The mean difference first - second, and the shares of resamples above 0 and below."""

    difference: Estimate
    probability_positive: float
    probability_negative: float


@dataclass(frozen=True)
class McNemar:
    """Items that one variant alone has right, and the exact two-sided p-value."""

    first_only: int
    second_only: int
    p_value: float


@dataclass(frozen=True, eq=False)
class AgainstBest:
    """The variant of the highest mean, and whether the others can be told from it."""

    best: int
    """Its column."""
    p_values: Floats
    """Holm-adjusted, shape (variants,); 1 for the best itself, NaN where there is no test."""
    indistinguishable: NDArray[np.bool_]
    """Shape (variants,); true for the best itself."""


def paired_t(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> PairedT:
    """Paired t test of two variants over seeds.

    first, second: shape (seeds,), one score a seed, the same seed at the same place. Seeds that
    never differ give p = 1. Seeds that all differ by one other number give none: a t test takes
    their spread, which they do not show. Raises ValueError for fewer than two seeds, for unequal
    shapes, for a score that is not finite, and unless 0 < confidence < 1.
    """
    one, other = checked_pair(first, second, seeds=2)
    differences = one - other
    p_value = float(_p_of_zero_mean(differences, _closest(one, other)))
    return PairedT(t_interval(differences, confidence), None if np.isnan(p_value) else p_value)


def paired_equivalence(first: ArrayLike, second: ArrayLike, margin: float) -> float | None:
    """P-value of the paired equivalence test over seeds: that |mean difference| is below `margin`.

    first, second: shape (seeds,), as for `paired_t`. Two one-sided t tests, that the mean of
    first - second is at most -margin and that it is at least margin; the larger of their p-values
    (Schuirmann 1987, A comparison of the two one-sided tests procedure). Seeds that never differ
    give 0. Seeds that all differ by one other number give None, as in `paired_t`. Raises ValueError
    as that does, and for a margin that is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"margin must be above 0, it is {margin}")
    one, other = checked_pair(first, second, seeds=2)
    differences = one - other
    if np.ptp(differences) <= _closest(one, other):
        return None if abs(differences.mean()) > _closest(one, other) else 0.0
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(stdtr(len(differences) - 1, (abs(differences.mean()) - margin) / error))


def paired_bootstrap(pair: Resampled, confidence: float = 0.95) -> PairedBootstrap:
    """Hierarchical bootstrap of the difference of two variants: seeds, then items, both paired.

    A drawn seed and a drawn item are the same for both variants, a drawn item the same for all
    seeds (see `resample`). The bootstrap sees (seeds - 1) / seeds of the variance due to the seeds:
    where the seeds dominate, a 95 % interval of three seeds covers about three times in four, and
    that of `paired_t` as often as it says. Raises ValueError unless 0 < confidence < 1.
    """
    differences = pair.scores[:, 0] - pair.scores[:, 1]
    # equal scores round in their last digits: their difference is none
    differences[np.abs(differences) <= ROUNDING * np.abs(pair.scores).max(axis=1)] = 0
    observed = pair.observed[0] - pair.observed[1]
    difference = percentile_estimate(observed, differences, confidence)
    return PairedBootstrap(
        difference, float(np.mean(differences > 0)), float(np.mean(differences < 0))
    )


def mcnemar(first_correct: ArrayLike, second_correct: ArrayLike) -> McNemar:
    """Exact McNemar test of two variants on the items of one seed.

    first_correct, second_correct: shape (items,), 1 or true where the variant has the item right.
    Under the null hypothesis the items that one alone has right fall to either side with
    probability 1/2, and the p-value is twice the smaller binomial tail, at most 1 (McNemar 1947,
    Note on the sampling error of the difference between correlated proportions, gives its
    approximation by chi-square).
    It holds for this seed and says nothing about others. Raises ValueError for unequal shapes, for
    no items and for a value that is neither 0 nor 1.
    """
    from scipy.stats import binom  # here, as it takes a second to load

    one, other = checked_pair(first_correct, second_correct, items=1)
    if not np.isin([one, other], (0, 1)).all():
        raise ValueError("first and second must be 1 where the item is right and 0 elsewhere")
    first_only, second_only = int((one > other).sum()), int((one < other).sum())
    tail = binom.cdf(min(first_only, second_only), first_only + second_only, 0.5)
    return McNemar(first_only, second_only, min(1.0, 2 * float(tail)))


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p-values, in the order given: reject those of at most the level.

    p_values: shape (tests,). The k-th smallest of m becomes the largest of (m - j + 1) p(j) over
    j <= k, at most 1 (Holm 1979, A simple sequentially rejective multiple test procedure). Holds
    the family-wise error under any dependence. Raises ValueError for no tests and for a value
    that is not finite or outside 0 to 1.
    """
    raw = checked(p_values, "p_values", tests=1)
    if raw.min() < 0 or raw.max() > 1:
        raise ValueError(f"p_values must lie in 0 to 1, they reach {raw.min()} to {raw.max()}")
    order = np.argsort(raw, kind="stable")
    steps = np.arange(len(raw), 0, -1) * raw[order]
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def indistinguishable_from_best(scores: ArrayLike, level: float = 0.05) -> AgainstBest:
    """Which variants a paired t test over seeds cannot tell from the one of the highest mean.

    scores: shape (seeds, variants), higher is better; of equal means the first is the best. Each
    other variant is tested against the best as by `paired_t`, and the p-values are adjusted by
    `holm`. One that has none cannot be told from the best.

    That a test does not reject is not equality: with three seeds it overlooks all but large
    differences. And the best is chosen from the same scores that test it, which the adjustment does
    not cover: of eight equal, independent variants at level 0.05 one or more is told from the best
    about one time in ten.

    Raises ValueError for fewer than two seeds or variants, for a score that is not finite, and
    unless 0 < level < 1.
    """
    check_share(level, "level")
    array = checked(scores, "scores", seeds=2, variants=2)
    means = array.mean(axis=0)
    best = int(means.argmax())
    p_values = _p_of_zero_mean(array - array[:, [best]], _closest(array))
    tested = (np.arange(means.size) != best) & ~np.isnan(p_values)
    if tested.any():
        p_values[tested] = holm(p_values[tested])
    return AgainstBest(best, p_values, np.logical_not(p_values <= level))


def _closest(*scores: Floats) -> float:
    """How close differences of these scores may be and still be the same."""
    return ROUNDING * max(1.0, *(float(np.abs(one).max()) for one in scores))


def _p_of_zero_mean(differences: Floats, closest: float) -> Floats:
    """Two-sided p-values of the one-sample t test along the first axis.

    Where the differences are as close as `closest`, there is no t: 1 if they are 0, else NaN.
    """
    n, mean = len(differences), differences.mean(axis=0)
    error = differences.std(axis=0, ddof=1) / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * stdtr(n - 1, -np.abs(mean) / error)
    spread = np.ptp(differences, axis=0) > closest
    without: Floats = np.where(np.abs(mean) > closest, np.nan, 1.0)
    return np.where(spread, p_values, without)
