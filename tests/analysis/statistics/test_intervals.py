"""Intervals are what scipy and the closed form say, and cover what they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.intervals import t_half_width, t_interval


def test_interval_equals_scipy() -> None:
    values = np.array([0.81, 0.83, 0.86, 0.79, 0.8])
    low, high = stats.t.interval(0.9, 4, loc=values.mean(), scale=stats.sem(values))
    interval = t_interval(values, confidence=0.9)
    assert interval.low == pytest.approx(low, abs=1e-12)
    assert interval.high == pytest.approx(high, abs=1e-12)
    assert interval.n == 5


def test_interval_of_two_values_in_closed_form() -> None:
    # with one degree of freedom t is Cauchy: its 97.5 % quantile is tan(0.475 pi)
    interval = t_interval([1.0, 3.0])
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(math.tan(0.475 * math.pi), rel=1e-9)
    assert interval.high - interval.mean == pytest.approx(interval.half_width)


def test_equal_values_have_an_interval_of_no_width() -> None:
    interval = t_interval([0.5, 0.5, 0.5])
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_half_width_of_one_value_does_not_exist() -> None:
    assert np.isnan(t_half_width([np.nan, 0.0], [1, 1])).all()


@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage(n: int) -> None:
    samples = np.random.default_rng(n).normal(loc=7.0, scale=2.0, size=(40_000, n))
    half = t_half_width(samples.std(axis=1, ddof=1), n)
    covered = np.mean(np.abs(samples.mean(axis=1) - 7.0) <= half)
    assert 0.93 < covered < 0.97
    # the vector form is the one that was simulated: it must be the scalar form
    assert half[0] == pytest.approx(t_interval(samples[0]).half_width)
