"""The Pareto front against its definition and against enumeration of every resample."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import ArrayLike

from analysis.statistics.front import Runs, front_probability, pareto_front


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


def cell(costs: list[float], scores: ArrayLike, seeds: Sequence[int] | None = None) -> Runs:
    """The runs of a cell of one cost; a score without items is one item."""
    values = np.asarray(scores, dtype=float)
    by_item = values[:, np.newaxis] if values.ndim == 1 else values
    statistics = by_item[..., np.newaxis]
    return Runs.of("it", seeds or range(len(costs)), np.transpose([costs]), statistics)


def enumerated(cells: list[Runs], seeds: int) -> np.ndarray:
    """The share of all resamples of seeds and items, the same for all cells."""
    hits, items = [], cells[0].statistics.shape[1]
    for drawn in itertools.product(range(seeds), repeat=seeds):
        own = [[cell.seeds.index(seed) for seed in drawn if seed in cell.seeds] for cell in cells]
        if not all(own):
            continue
        for chosen in itertools.product(range(items), repeat=items):
            points = [
                (one.costs[at].mean(axis=0), one.statistics[at][:, chosen].mean())
                for one, at in zip(cells, own, strict=True)
            ]
            costs, scores = zip(*points, strict=True)
            hits.append(pareto_front(np.stack(costs), scores))
    shares: np.ndarray = np.mean(hits, axis=0)
    return shares


@pytest.mark.parametrize(
    "cells",
    [
        [cell([1, 4, 2], [0.5, 0.9, 0.6]), cell([3, 2, 5], [0.8, 0.4, 0.7])],
        [cell([1, 4], [0.5, 0.9], (0, 2)), cell([3, 2, 5], [0.8, 0.4, 0.7])],
        [cell([1, 4], [0.5, 0.9], (0, 1)), cell([3, 2], [0.8, 0.4], (2, 3))],
        [cell([1, 2], [[1, 0, 1], [1, 1, 0]]), cell([2, 1.2], [[0, 1, 1], [1, 1, 1]])],
    ],
    ids=["one item", "a seed is missing", "no seed is shared", "items"],
)
def test_probability_equals_the_enumeration_of_all_resamples(cells: list[Runs]) -> None:
    expected = enumerated(cells, 1 + max(seed for one in cells for seed in one.seeds))
    assert ((expected > 0.1) & (expected < 0.95)).any()
    found = front_probability(cells, np.random.default_rng(37), 40_000)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_what_a_seed_or_an_item_does_to_all_cells_leaves_the_front_sure() -> None:
    """One cell is better by one item under every seed; both vary far more than that."""
    rng = np.random.default_rng(5)
    shared = (rng.random((3, 40)) < rng.random((3, 1)) * rng.random(40)).astype(float)
    shared[:, 0] = 0
    better = shared.copy()
    better[:, :1] = 1
    cells = [cell([1, 1, 1], better), cell([1, 1, 1], shared)]
    found = front_probability(cells, np.random.default_rng(6), 4000)
    assert found[0] == 1
    # the item that tells them apart is in all but (39 / 40)^40 of the draws
    assert found[1] == pytest.approx((39 / 40) ** 40, abs=0.03)


def test_a_constant_cost_stays_tied() -> None:
    # 0.1 is no binary number: the rounding of its sums must not make one cell cheaper
    steps = np.arange(10) / 100
    cells = [cell([0.1] * 10, 0.5 + steps), cell([0.1] * 10, 0.7 + steps)]
    found = front_probability(cells, np.random.default_rng(38), 2000)
    assert found.tolist() == [0, 1]


def test_twins_without_spread_share_the_front() -> None:
    twins = [cell([0.1, 0.1], [0.7, 0.7])] * 2
    assert front_probability(twins, np.random.default_rng(39), 50).tolist() == [1, 1]


def test_cost_and_score_of_a_seed_are_drawn_together() -> None:
    # every seed of the first cell lies on one line with the second: no draw dominates it
    cells = [cell([1.0, 3.0], [0.25, 0.75]), cell([2.0, 2.0], [0.5, 0.5])]
    assert front_probability(cells, np.random.default_rng(40), 500).tolist() == [1, 1]
