"""Statistics over seeds: pure functions on arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval, all in the unit of the values."""

    mean: float
    low: float
    high: float
    half_width: float
    n: int


def t_half_width(
    deviation: ArrayLike, n: ArrayLike, confidence: float = 0.95
) -> NDArray[np.float64]:
    """Half width of the two-sided t interval of a mean, element by element.

    `deviation` is the sample standard deviation (n - 1 in the denominator) and `n` the number of
    values behind it, of shapes that broadcast. NaN where n < 2: there is no interval. Raises
    ValueError unless 0 < confidence < 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, it is {confidence}")
    count = np.asarray(n, dtype=np.float64)
    quantile = stats.t.ppf((1 + confidence) / 2, count - 1)
    half: NDArray[np.float64] = quantile * np.asarray(deviation, dtype=np.float64) / np.sqrt(count)
    return half


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean of independent values, shape (n,), and its two-sided Student t interval.

    Raises ValueError for fewer than two values, for a value that is not finite, for another
    shape, and unless 0 < confidence < 1.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size < 2:
        raise ValueError(f"an interval needs at least two values in a row, not {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError("an interval needs finite values")
    mean = float(sample.mean())
    half = float(t_half_width(sample.std(ddof=1), sample.size, confidence))
    return Interval(mean, mean - half, mean + half, half, sample.size)
