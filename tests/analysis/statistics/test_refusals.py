"""Bad arrays get one error that says what is wrong with which of them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from analysis.statistics.across_tasks import (
    friedman_nemenyi,
    interquartile_mean,
    mean_ranks,
    performance_profile,
    probability_of_improvement,
)
from analysis.statistics.bootstrap import resample
from analysis.statistics.comparison import (
    holm,
    indistinguishable_from_best,
    mcnemar,
    paired_bootstrap,
    paired_equivalence,
    paired_t,
)
from analysis.statistics.components import variance_components
from analysis.statistics.front import Runs, front_probability, pareto_front
from analysis.statistics.intervals import t_interval
from analysis.statistics.jackknife import pseudo_values
from finegrid.metrics.registry import metric

ACCURACY = metric("accuracy")
RNG = np.random.default_rng(0)


def front(costs: Any, scores: Any, resamples: int = 9) -> ArrayLike:
    cells = [Runs.of("cell 0", range(len(costs)), costs, scores)]
    return front_probability(cells, RNG, resamples)


TAKES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], tuple[int, ...]]] = {
    "t_interval": (t_interval, (3,), (1,)),
    "variance_components, seeds": (variance_components, (3, 4), (1, 4)),
    "variance_components, items": (variance_components, (3, 4), (3, 1)),
    "paired_t": (lambda x: paired_t(x, x), (3,), (1,)),
    "paired_equivalence": (lambda x: paired_equivalence(x, x, 1.0), (3,), (1,)),
    "resample, seeds": (lambda x: resample(x, RNG, 9), (3, 4, 2, 1), (1, 4, 2, 1)),
    "resample, items": (lambda x: resample(x, RNG, 9), (3, 4, 2, 2), (3, 1, 2, 2)),
    "resample, variants": (lambda x: resample(x, RNG, 9), (3, 4, 2, 1), (3, 4, 0, 1)),
    "mcnemar": (lambda x: mcnemar(x, x), (3,), (0,)),
    "holm": (holm, (3,), (0,)),
    "indistinguishable_from_best, seeds": (indistinguishable_from_best, (3, 4), (1, 4)),
    "indistinguishable_from_best, variants": (indistinguishable_from_best, (3, 4), (3, 1)),
    "pseudo_values, seeds": (lambda x: pseudo_values(x, ACCURACY), (3, 4, 2), (0, 4, 2)),
    "pseudo_values, items": (lambda x: pseudo_values(x, ACCURACY), (3, 4, 2), (3, 1, 2)),
    "mean_ranks": (mean_ranks, (3, 4), (0, 4)),
    "friedman_nemenyi, tasks": (friedman_nemenyi, (3, 4), (1, 4)),
    "friedman_nemenyi, variants": (friedman_nemenyi, (3, 4), (3, 2)),
    "interquartile_mean, runs": (lambda x: interquartile_mean(x, RNG, 9), (3, 4), (1, 4)),
    "interquartile_mean, tasks": (lambda x: interquartile_mean(x, RNG, 9), (3, 4), (3, 0)),
    "probability_of_improvement": (
        lambda x: probability_of_improvement(x, x, RNG, 9),
        (3, 4),
        (1, 4),
    ),
    "performance_profile, scores": (lambda x: performance_profile(x, [0.5]), (3, 4), (0, 4)),
    "performance_profile, thresholds": (lambda x: performance_profile([[1.0]], x), (3,), (0,)),
    "pareto_front, costs": (lambda x: pareto_front(x, [1.0, 2.0]), (2, 3), (2, 0)),
    "pareto_front, scores": (lambda x: pareto_front([[1.0], [2.0]], x), (2,), (0,)),
    "front_probability, costs": (lambda x: front(x, np.ones((3, 2, 1))), (3, 2), (1, 2)),
    "front_probability, items": (lambda x: front(np.ones((3, 2)), x), (3, 2, 1), (3, 0, 1)),
}
"""Function and axis -> the call with one array, a shape that is good, one that is too short."""


def scores(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=float).reshape(shape) % 2


@pytest.mark.parametrize("name", TAKES)
def test_takes_what_is_documented_and_leaves_it_as_it_was(name: str) -> None:
    call, shape, _ = TAKES[name]
    given = scores(shape)
    assert call(given) is not None
    np.testing.assert_array_equal(given, scores(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", TAKES)
def test_refuses_what_is_not_finite(name: str, value: float) -> None:
    call, shape, _ = TAKES[name]
    array = scores(shape)
    array.flat[-1] = value
    with pytest.raises(ValueError, match=rf"must be finite, at \(.+\) it is {value}"):
        call(array)


@pytest.mark.parametrize("name", TAKES)
def test_refuses_too_few(name: str) -> None:
    call, _, short = TAKES[name]
    with pytest.raises(ValueError, match=rf"must have at least \d \w+, not {min(short)}"):
        call(scores(short))


@pytest.mark.parametrize("name", TAKES)
def test_refuses_another_number_of_axes(name: str) -> None:
    call, shape, _ = TAKES[name]
    with pytest.raises(ValueError, match="must have the axes"):
        call(scores((*shape, 2)))


@pytest.mark.parametrize("share", [0.0, 1.0, 95.0])
@pytest.mark.parametrize(
    "call",
    [
        lambda share: t_interval([1.0, 2.0], share),
        lambda share: paired_t([1.0, 2.0], [2.0, 2.0], share),
        lambda share: paired_bootstrap(resample(np.ones((2, 2, 2, 1)), RNG, 9), share),
        lambda share: indistinguishable_from_best(np.eye(2), share),
        lambda share: friedman_nemenyi(np.eye(3), share),
        lambda share: interquartile_mean(np.eye(2), RNG, 9, share),
        lambda share: probability_of_improvement(np.eye(2), np.eye(2), RNG, 9, share),
    ],
)
def test_refuses_a_share_that_is_none(call: Callable[[float], Any], share: float) -> None:
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        call(share)


@pytest.mark.parametrize(
    "call",
    [
        lambda: resample(np.ones((2, 2, 2, 1)), RNG, 0),
        lambda: interquartile_mean(np.eye(2), RNG, 0),
        lambda: probability_of_improvement(np.eye(2), np.eye(2), RNG, 0),
        lambda: front(np.eye(2), np.ones((2, 2, 1)), 0),
    ],
)
def test_refuses_no_resamples(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="resamples must be at least 1, not 0"):
        call()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: paired_t([1.0, 2.0], [1.0, 2.0, 3.0]), r"paired, not \(2,\) and \(3,\)"),
        (lambda: paired_equivalence([1.0, 2.0], [1.0, 2.0], 0.0), "margin must be above 0"),
        (lambda: mcnemar([1, 0], [1, 0.5]), "1 where the item is right"),
        (lambda: holm([0.5, 1.5]), "reach 0.5 to 1.5"),
        (lambda: holm([-0.1, 0.5]), "reach -0.1 to 0.5"),
        (lambda: friedman_nemenyi([[1, 1, 1], [2, 2, 2]]), "differ between the variants"),
        (
            lambda: probability_of_improvement(np.ones((2, 3)), np.ones((2, 4)), RNG),
            "first has 3 tasks, second 4",
        ),
        (lambda: pareto_front([[1.0], [2.0]], [1.0]), "costs have 2 points, scores 1"),
        (lambda: front_probability([], RNG), "there is no cell"),
        (lambda: front(np.eye(2), np.ones((3, 2, 1))), "2 seeds, costs of 2, statistics of 3"),
        (
            lambda: front_probability(
                [
                    Runs.of("one", (0, 1), np.eye(2), np.ones((2, 2, 1))),
                    Runs.of("other", (0, 1), np.ones((2, 1)), np.ones((2, 2, 1))),
                ],
                RNG,
            ),
            r"same kinds of cost, not \[1, 2\]",
        ),
        (
            lambda: front_probability(
                [
                    Runs.of("one", (0, 1), np.eye(2), np.ones((2, 2, 1))),
                    Runs.of("other", (0, 1), np.eye(2), np.ones((2, 3, 1))),
                ],
                RNG,
            ),
            r"same number of items, not \[2, 3\]",
        ),
    ],
)
def test_refuses_what_does_not_fit(call: Callable[[], ArrayLike], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()
