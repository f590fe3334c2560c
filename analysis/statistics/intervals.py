"""The mean over seeds and its t interval."""

from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from analysis.statistics.arrays import Floats, check_share, checked


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, all in the unit of the values."""

    mean: float
    low: float
    high: float
    half_width: float
    n: int


def t_half_width(deviation: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Floats:
    """Half width of the two-sided t interval of a mean, element by element.

    `deviation` is the sample standard deviation (n - 1 in the denominator) and `n` the number of
    values behind it, of shapes that broadcast. NaN where n < 2: there is no interval. Raises
    ValueError unless 0 < confidence < 1.
    """
    check_share(confidence, "confidence")
    count = np.asarray(n, dtype=np.float64)
    quantile = stdtrit(count - 1, (1 + confidence) / 2)
    half: Floats = quantile * np.asarray(deviation, dtype=np.float64) / np.sqrt(count)
    return half


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean of independent values, shape (seeds,), and its two-sided Student t interval.

    Raises ValueError for fewer than two values, for a value that is not finite, for another
    shape, and unless 0 < confidence < 1.
    """
    sample = checked(values, "values", seeds=2)
    mean = float(sample.mean())
    check_share(confidence, "confidence")
    half = _quantile(confidence, sample.size - 1) * float(sample.std(ddof=1)) / sqrt(sample.size)
    return Interval(mean, mean - half, mean + half, half, sample.size)


@cache
def _quantile(confidence: float, freedom: int) -> float:
    """Student's t, computed once: a table has thousands of intervals over as many seeds."""
    return float(stdtrit(freedom, (1 + confidence) / 2))
