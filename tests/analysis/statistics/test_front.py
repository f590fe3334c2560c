"""The Pareto front against its definition and against enumeration of every resample."""

import itertools

import numpy as np
import pytest

from analysis.statistics.front import front_probability, pareto_front


def by_definition(costs: np.ndarray, scores: np.ndarray) -> list[bool]:
    points = [(*cost, -score) for cost, score in zip(costs.tolist(), scores.tolist(), strict=True)]
    return [
        not any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True))
            for other in points
        )
        for point in points
    ]


def test_front_of_one_cost() -> None:
    costs = [[1.0], [2.0], [3.0], [2.0], [4.0]]
    found = pareto_front(costs, [0.5, 0.8, 0.7, 0.8, 0.9])
    assert found.tolist() == [True, True, False, True, True]


def test_a_tie_in_one_objective_is_broken_by_the_others() -> None:
    assert pareto_front([[1.0], [1.0]], [0.5, 0.6]).tolist() == [False, True]
    assert pareto_front([[1.0], [2.0]], [0.5, 0.5]).tolist() == [True, False]
    assert pareto_front([[1.0, 2.0], [2.0, 1.0]], [0.5, 0.5]).tolist() == [True, True]


@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_front_is_its_definition(kinds: int) -> None:
    rng = np.random.default_rng(kinds)
    for _ in range(50):
        # few values, so that ties are frequent
        costs, scores = rng.integers(5, size=(12, kinds)), rng.integers(5, size=12)
        assert pareto_front(costs, scores).tolist() == by_definition(costs, scores)


def test_probability_equals_the_enumeration_of_all_resamples() -> None:
    costs = [np.array([[1.0], [4.0]]), np.array([[3.0], [2.0], [5.0]])]
    scores = [np.array([0.5, 0.9]), np.array([0.8, 0.4, 0.7])]
    draws = [
        [
            (cost[list(drawn)].mean(axis=0), score[list(drawn)].mean())
            for drawn in itertools.product(range(len(score)), repeat=len(score))
        ]
        for cost, score in zip(costs, scores, strict=True)
    ]
    hits = np.mean(
        [
            pareto_front(np.stack([one[0], other[0]]), [one[1], other[1]])
            for one, other in itertools.product(*draws)
        ],
        axis=0,
    )
    assert ((hits > 0.1) & (hits < 0.9)).any()
    found = front_probability(costs, scores, np.random.default_rng(37), 40_000)
    np.testing.assert_allclose(found, hits, atol=0.01)


def test_a_constant_cost_stays_tied() -> None:
    # 0.1 is no binary number: the rounding of its sums must not make one cell cheaper
    costs = np.full((2, 10, 1), 0.1)
    scores = np.array([[0.5], [0.7]]) + np.arange(10) / 100
    found = front_probability(list(costs), list(scores), np.random.default_rng(38), 2000)
    assert found.tolist() == [0, 1]


def test_twins_without_spread_share_the_front() -> None:
    costs, scores = [[[0.1], [0.1]]] * 2, [[0.7, 0.7]] * 2
    assert front_probability(costs, scores, np.random.default_rng(39), 50).tolist() == [1, 1]


def test_cost_and_score_of_a_seed_are_drawn_together() -> None:
    # every seed of the first cell lies on one line with the second: no draw dominates it
    costs = [[[1.0], [3.0]], [[2.0], [2.0]]]
    scores = [[0.25, 0.75], [0.5, 0.5]]
    assert front_probability(costs, scores, np.random.default_rng(40), 500).tolist() == [1, 1]
