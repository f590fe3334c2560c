"""The median of timings: its interval covers what it says, and the test is scipy's."""

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.median import median_interval, sign_test


@pytest.mark.parametrize(("n", "low", "high"), [(6, 1, 6), (9, 2, 8), (15, 4, 12), (101, 41, 61)])
def test_the_interval_lies_between_the_order_statistics_of_the_tables(
    n: int, low: int, high: int
) -> None:
    """Conover 1999, table A3, and the coverage 1 - 2 P(B < k) of a binomial count."""
    found = median_interval(np.arange(n, 0, -1.0))
    assert found is not None
    assert (found.low, found.high, found.mean) == (low, high, (n + 1) / 2)
    assert 1 - 2 * stats.binom.cdf(low - 1, n, 0.5) >= 0.95
    assert 1 - 2 * stats.binom.cdf(low, n, 0.5) < 0.95


def test_five_values_have_no_interval() -> None:
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None


@pytest.mark.parametrize("n", [9, 30])
def test_the_interval_covers_a_median_of_long_tails(n: int) -> None:
    draws = np.random.default_rng(0).standard_cauchy((2000, n))
    found = [median_interval(row) for row in draws]
    covered = np.mean([one is not None and one.low <= 0 <= one.high for one in found])
    assert covered >= 0.94


def test_the_sign_test_leaves_ties_out() -> None:
    assert sign_test([1.0, 2.0, 3.0, 2.0], 2.0) == 1.0
    assert sign_test([2.0, 2.0], 2.0) == 1.0
    values = [0.99, 1.0, 1.01, 0.98, 1.02, 1.0, 0.97, 1.01, 1.03]
    assert sign_test(values, 1.05) == pytest.approx(2 * 0.5**9)
