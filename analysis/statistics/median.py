"""The median of repeated timings, whose scatter has a long tail: no distribution is assumed."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.statistics.arrays import check_share, checked
from analysis.statistics.intervals import Interval


def median_interval(values: ArrayLike, confidence: float = 0.95) -> Interval | None:
    """The median of independent values, shape (repeats,), between two of their order statistics.

    The k-th smallest and the k-th largest value hold the median with probability 1 - 2 P(B < k),
    B binomial with p = 1/2 (Conover 1999, Practical Nonparametric Statistics, section 3.2); k is
    the largest for which that is `confidence`. None for fewer values than have such a pair: 6 for
    95 %. Raises ValueError as `t_interval` does.
    """
    sample = np.sort(checked(values, "values", seeds=2))
    check_share(confidence, "confidence")
    k = int(stats.binom.ppf((1 - confidence) / 2, sample.size, 0.5))
    if k < 1:
        return None
    low, high = float(sample[k - 1]), float(sample[-k])
    return Interval(float(np.median(sample)), low, high, (high - low) / 2, sample.size)


def sign_test(values: ArrayLike, bound: float) -> float:
    """The two-sided p-value of the sign test that the median of the values is the bound.

    Values that equal it are left out (Conover 1999, section 3.4). 1 where nothing is left.
    """
    sample = checked(values, "values", seeds=1)
    above, below = int((sample > bound).sum()), int((sample < bound).sum())
    if not above + below:
        return 1.0
    return float(stats.binomtest(above, above + below).pvalue)
