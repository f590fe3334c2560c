"""Variance components against a published table, a simulation and the sign of a square."""

import numpy as np
import pytest

from analysis.statistics.components import variance_components

JUDGES = np.array(
    [[9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2], [5, 3, 6, 2, 6, 4], [8, 2, 8, 6, 9, 7]], dtype=float
)
"""Shrout and Fleiss 1979, Intraclass correlations, table 2: judges x targets."""


def test_published_two_way_table() -> None:
    # table 3 there: mean squares of targets 11.24, of judges 32.49, residual 1.02
    found = variance_components(JUDGES)
    assert found.residual_variance == pytest.approx(1.02, abs=0.005)
    assert found.item_variance == pytest.approx((11.24 - 1.02) / 4, abs=0.005)
    assert found.seed_variance == pytest.approx((32.49 - 1.02) / 6, abs=0.005)
    # table 4 there: ICC(2, 1) = 0.29, ICC(3, 1) = 0.71
    total = found.item_variance + found.seed_variance + found.residual_variance
    assert found.item_variance / total == pytest.approx(0.29, abs=0.005)
    share = found.item_variance / (found.item_variance + found.residual_variance)
    assert share == pytest.approx(0.71, abs=0.005)


def test_standard_errors_divide_by_what_was_averaged() -> None:
    found = variance_components(JUDGES)
    assert found.mean == JUDGES.mean()
    assert found.seed_error**2 == pytest.approx(found.seed_variance / 4)
    assert found.item_error**2 == pytest.approx(found.item_variance / 6)
    assert found.residual_error**2 == pytest.approx(found.residual_variance / 24)


def test_simulated_components_are_found() -> None:
    rng = np.random.default_rng(1)
    seeds, items, repeats = 5, 40, 3000
    found = [
        variance_components(
            0.7
            + rng.normal(0, 0.3, size=(seeds, 1))
            + rng.normal(0, 0.4, size=items)
            + rng.normal(0, 0.2, size=(seeds, items))
        )
        for _ in range(repeats)
    ]
    assert np.mean([one.seed_variance for one in found]) == pytest.approx(0.3**2, rel=0.06)
    assert np.mean([one.item_variance for one in found]) == pytest.approx(0.4**2, rel=0.02)
    assert np.mean([one.residual_variance for one in found]) == pytest.approx(0.2**2, rel=0.01)
    actual = np.var([one.mean for one in found])
    assert np.mean([one.total_error**2 for one in found]) == pytest.approx(actual, rel=0.08)


def test_seeds_that_agree_on_the_mean_but_not_on_the_items_have_no_negative_variance() -> None:
    found = variance_components([[1, 0], [0, 1]])
    assert (found.seed_variance, found.item_variance) == (0, 0)
    assert found.residual_variance == 1


def test_equal_seeds_leave_the_items_alone() -> None:
    correct = np.array([1.0, 0, 1, 1, 0, 1, 1, 1])
    found = variance_components(np.tile(correct, (3, 1)))
    assert found.seed_error == found.residual_error == 0
    assert found.item_error == pytest.approx(correct.std(ddof=1) / np.sqrt(8))
    assert found.total_error == pytest.approx(found.item_error)
