"""What metrics of numbers share."""

import numpy as np

from finegrid.metrics.contract import Floats, ratio

ROUNDING = 1e-12
"""Squares about the mean below this share of the squares themselves are what rounding leaves."""


def squares_about_mean(items: Floats, values: Floats, squares: Floats) -> Floats:
    """S((y - mean y)^2) = S(y^2) - S(y)^2 / n, from the sums n, S(y) and S(y^2), shape (...).

    0 where all values are equal, which rounding would hide.
    """
    about = squares - ratio(values**2, items, undefined=0.0)
    return np.where(about > ROUNDING * squares, about, 0.0)
