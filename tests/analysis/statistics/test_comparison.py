"""Comparisons against scipy, published examples and enumeration of every resample."""

import itertools
from typing import Any

import numpy as np
import pytest
from mlxtend import evaluate
from scipy import stats

from analysis.statistics.bootstrap import resample
from analysis.statistics.comparison import (
    PairedBootstrap,
    holm,
    indistinguishable_from_best,
    mcnemar,
    paired_t,
)
from analysis.statistics.comparison import paired_bootstrap as bootstrap_of

FIRST = np.array([0.81, 0.84, 0.86, 0.79, 0.83])
SECOND = np.array([0.80, 0.80, 0.87, 0.75, 0.81])


def paired_bootstrap(
    first: np.ndarray,
    second: np.ndarray,
    rng: np.random.Generator,
    resamples: int,
    **options: Any,
) -> PairedBootstrap:
    """Of scores (seeds, items) that are one number an item."""
    both = np.stack([first, second], axis=2)[..., np.newaxis]
    return bootstrap_of(resample(both, rng, resamples), **options)


def items(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Two columns of right and wrong with these counts."""
    counts = [both, first, second, neither]
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


def test_paired_t_equals_scipy() -> None:
    expected = stats.ttest_rel(FIRST, SECOND)
    interval = expected.confidence_interval(0.9)
    found = paired_t(FIRST, SECOND, confidence=0.9)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.difference.mean == pytest.approx((FIRST - SECOND).mean())
    assert found.difference.low == pytest.approx(interval.low, rel=1e-9)
    assert found.difference.high == pytest.approx(interval.high, rel=1e-9)


def test_paired_t_is_the_one_sample_test_of_the_differences() -> None:
    expected = stats.ttest_1samp(FIRST - SECOND, 0)
    assert paired_t(FIRST, SECOND).p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_paired_t_where_no_seed_differs() -> None:
    found = paired_t(FIRST, FIRST)
    assert found.p_value == 1
    assert (found.difference.low, found.difference.high) == (0, 0)


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_paired_t_where_all_seeds_differ_by_one_number_has_no_p_value(scale: float) -> None:
    first = scale * np.array([0.91, 0.82, 0.73])
    found = paired_t(first, first - scale * 0.1)
    assert found.p_value is None
    assert found.difference.mean == pytest.approx(scale * 0.1)


def test_paired_t_of_differences_that_are_but_rounding_is_that_of_none() -> None:
    assert paired_t([0.1 + 0.2, 0.5], [0.3, 0.5]).p_value == 1


def test_paired_bootstrap_equals_the_enumeration_of_all_resamples() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.integers(2, size=(2, 2, 3)).astype(float)
    second[0, 0] = 1 - first[0, 0]
    differences = first - second
    every = np.array(
        [
            differences[np.ix_(seeds, columns)].mean()
            for seeds in itertools.product(range(2), repeat=2)
            for columns in itertools.product(range(3), repeat=3)
        ]
    )
    found = paired_bootstrap(first, second, rng, resamples=40_000, confidence=0.8)
    assert found.difference.value == pytest.approx(differences.mean())
    assert found.probability_positive == pytest.approx((every > 0).mean(), abs=0.01)
    low, high = np.quantile(every, [0.1, 0.9])
    assert found.difference.low == pytest.approx(low)
    assert found.difference.high == pytest.approx(high)


def test_paired_bootstrap_of_equal_variants_is_nothing() -> None:
    scores = np.random.default_rng(8).integers(2, size=(3, 50))
    found = paired_bootstrap(scores, scores, np.random.default_rng(9), resamples=200)
    assert (found.difference.low, found.difference.high, found.probability_positive) == (0, 0, 0)


def test_paired_bootstrap_covers_where_items_dominate() -> None:
    rng = np.random.default_rng(10)
    covered = []
    for _ in range(400):
        differences = rng.normal(0, 0.5, size=60) + rng.normal(0, 0.2, size=(3, 60))
        found = paired_bootstrap(differences, np.zeros((3, 60)), rng, resamples=500).difference
        covered.append(found.low <= 0 <= found.high)
    assert 0.91 < np.mean(covered) < 0.985


def test_mcnemar_published_example() -> None:
    # the R package exact2x2, help of mcnemar.exact: b = 2, c = 9, p-value = 0.06543
    found = mcnemar(*items(both=21, first=2, second=9, neither=12))
    assert (found.first_only, found.second_only) == (2, 9)
    assert found.p_value == pytest.approx(0.06543, abs=5e-6)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 6), (3, 13), (25, 15), (8, 8)])
def test_mcnemar_equals_the_binomial_test_and_mlxtend(first: int, second: int) -> None:
    found = mcnemar(*items(50, first, second, 7)).p_value
    assert found == pytest.approx(stats.binomtest(first, first + second).pvalue, rel=1e-12)
    _, other = evaluate.mcnemar(np.array([[50, first], [second, 7]]), exact=True)
    assert found == pytest.approx(min(1, other), rel=1e-9)


def test_mcnemar_without_a_discordant_item() -> None:
    found = mcnemar([True, False], [True, False])
    assert (found.first_only, found.second_only, found.p_value) == (0, 0, 1)


def test_holm_published_by_multtest() -> None:
    # column Holm of mt.rawp2adjp of the R package multtest, as in the tests of statsmodels
    raw = [
        *(0.838541367553, 0.642193923795, 0.680845947633, 0.967833824309, 0.71626938238),
        *(0.177096952723, 5.23656777208e-05, 0.0202732688798, 0.00028140506198, 0.0149877310796),
    ]
    adjusted = [
        *(1, 1, 1, 1, 1),
        *(1, 5.23656777208e-04, 1.419128821586e-01, 2.53264555782e-03, 1.199018486368e-01),
    ]
    np.testing.assert_allclose(holm(raw), adjusted, rtol=1e-12)


def test_holm_of_demsar() -> None:
    # Demsar 2006, section 3.2.2: at 0.05 the first two are rejected, the third is not
    adjusted = holm([0.607, 0.016, 0.019])
    np.testing.assert_allclose(adjusted, [0.607, 0.048, 0.048])


def test_holm_of_one_test_changes_nothing() -> None:
    assert holm([0.04]).tolist() == [0.04]


def test_best_and_its_company() -> None:
    scores = np.column_stack([SECOND - 0.1, FIRST, SECOND, FIRST[::-1] - 0.5])
    found = indistinguishable_from_best(scores)
    against = [stats.ttest_rel(scores[:, 1], scores[:, other]).pvalue for other in (0, 2, 3)]
    expected = holm(against)
    assert found.best == 1
    np.testing.assert_allclose(found.p_values, [expected[0], 1, *expected[1:]], rtol=1e-9)
    assert found.indistinguishable.tolist() == [False, True, True, False]


def test_a_twin_of_the_best_is_indistinguishable() -> None:
    found = indistinguishable_from_best(np.column_stack([SECOND - 0.5, FIRST, FIRST]))
    assert found.best == 1
    assert found.p_values[1:].tolist() == [1, 1]
    assert found.indistinguishable.tolist() == [False, True, True]


def test_a_variant_as_far_from_the_best_under_every_seed_is_not_told_from_it() -> None:
    scores = np.column_stack([FIRST - 0.1, FIRST, SECOND, FIRST[::-1] - 0.5])
    found = indistinguishable_from_best(scores)
    tested = [stats.ttest_rel(scores[:, 1], scores[:, other]).pvalue for other in (2, 3)]
    np.testing.assert_allclose(found.p_values, [np.nan, 1, *holm(tested)], rtol=1e-9)
    assert found.indistinguishable.tolist() == [True, True, True, False]


def test_variants_of_which_none_can_be_tested_are_all_indistinguishable() -> None:
    found = indistinguishable_from_best(np.column_stack([FIRST, FIRST - 0.1]))
    np.testing.assert_array_equal(found.p_values, [1, np.nan])
    assert found.indistinguishable.all()


def test_two_equal_variants_are_told_apart_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(12)
    verdicts = [
        indistinguishable_from_best(rng.normal(size=(3, 2))).indistinguishable.all()
        for _ in range(3000)
    ]
    assert 0.935 < np.mean(verdicts) < 0.965
