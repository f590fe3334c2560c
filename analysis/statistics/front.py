"""The Pareto front of scores against costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.statistics.arrays import Floats, checked
from analysis.statistics.bootstrap import (
    RESAMPLES,
    Weighted,
    chunks,
    defined,
    draw_counts,
    mean_of_items,
)


def pareto_front(costs: ArrayLike, scores: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates, shape (points,).

    costs: shape (points, costs), such as bytes and seconds, lower is better; scores: shape
    (points,), higher is better. One point dominates another if it is worse in nothing and better
    in something, so equal points stand or fall together. Raises ValueError for an empty axis, for
    unlike numbers of points and for a value that is not finite.
    """
    paid = checked(costs, "costs", points=1, costs=1)
    gained = checked(scores, "scores", points=1)
    return _undominated(_objectives(paid, gained))


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of a cell: a row a seed."""

    seeds: tuple[int, ...]
    costs: Floats
    """Shape (seeds, costs), lower is better."""
    statistics: Floats
    """Shape (seeds, items, k): what each item contributes to the score. One item of one number,
    the score itself, where a score has no items."""

    @classmethod
    def of(cls, name: str, seeds: Sequence[int], costs: ArrayLike, statistics: ArrayLike) -> Self:
        """The checked runs of the cell called `name`.

        Raises ValueError for fewer than two seeds, for unlike numbers of them, for one that stands
        twice, for no cost or item, and for a value that is not finite.
        """
        paid = checked(costs, f"costs of {name}", seeds=2, costs=1)
        gained = checked(statistics, f"statistics of {name}", seeds=2, items=1, k=1)
        if not len(set(seeds)) == len(paid) == len(gained):
            raise ValueError(
                f"{name} has {len(set(seeds))} seeds, costs of {len(paid)}, statistics of "
                f"{len(gained)}"
            )
        return cls(tuple(seeds), paid, gained)


def front_probability(
    cells: Sequence[Runs],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    weighted: Weighted = mean_of_items,
    sign: int = 1,
) -> Floats:
    """Share of resamples in which each cell lies on the front of the means, shape (cells,).

    A resample draws seeds and items with replacement, and a drawn seed and a drawn item are the
    same for all cells (see `resample`): what a seed or an item does to all cells alike
    changes no order. `weighted` makes the scores of the statistics, and more of sign * score is
    better. Cells may lack seeds of each other; a draw that holds no seed of some cell is drawn
    again. Raises ValueError for no cell, for unlike numbers of items or kinds of cost, and for
    fewer than one resample; UndefinedResampleError where a score has no value in some resamples.
    """
    _check_alike(cells)
    seeds = sorted(set().union(*(cell.seeds for cell in cells)))
    _, items, k = cells[0].statistics.shape
    places = [[seeds.index(seed) for seed in cell.seeds] for cell in cells]
    hits = np.zeros(len(cells))
    for size in chunks(resamples, max(len(cells) ** 2, items, len(seeds) * k)):
        drawn = _drawn_seeds(rng, size, len(seeds), places)
        weights = draw_counts(rng, size, items)
        means = [
            _means(cell, drawn[:, at], weighted(cell.statistics.swapaxes(0, 1), weights), sign)
            for cell, at in zip(cells, places, strict=True)
        ]
        hits += _undominated(np.stack(means, axis=1)).sum(axis=0)
    return hits / resamples


def _check_alike(cells: Sequence[Runs]) -> None:
    if not cells:
        raise ValueError("there is no cell")
    for what, found in (
        ("kinds of cost", {cell.costs.shape[1] for cell in cells}),
        ("number of items", {cell.statistics.shape[1] for cell in cells}),
    ):
        if len(found) > 1:
            raise ValueError(f"every cell must have the same {what}, not {sorted(found)}")


def _drawn_seeds(
    rng: np.random.Generator, draws: int, seeds: int, places: Sequence[Sequence[int]]
) -> Floats:
    """How often each seed is drawn, shape (draws, seeds); of every cell one at least."""
    counts = draw_counts(rng, draws, seeds)
    while len(lost := np.flatnonzero([counts[:, at].sum(axis=1) == 0 for at in places])):
        again = np.unique(lost % draws)
        counts[again] = draw_counts(rng, len(again), seeds)
    return counts


def _objectives(costs: Floats, scores: Floats) -> Floats:
    """Costs and the negated score side by side: lower is better in each column."""
    if len(costs) != len(scores):
        raise ValueError(f"costs have {len(costs)} points, scores {len(scores)}")
    return np.column_stack([costs, -scores])


def _means(cell: Runs, drawn: Floats, by_seed: Floats, sign: int) -> Floats:
    """Means over resampled seeds of costs and scores, shape (resamples, objectives).

    drawn: shape (resamples, seeds), how often each seed is drawn; by_seed: the same shape, the
    score of the resampled items under each seed.
    """
    total = drawn.sum(axis=1)
    # from the first seed on, so that a constant cost stays the same number and ties stay ties
    first = cell.costs[0]
    costs = first + drawn @ (cell.costs - first) / total[:, np.newaxis]
    scores = defined((drawn * by_seed).sum(axis=1) / total)
    return _objectives(costs, sign * scores)


def _undominated(objectives: Floats) -> NDArray[np.bool_]:
    """Shape (..., points) of (..., points, objectives), lower is better."""
    points = objectives.shape[-2]
    no_worse = np.ones((*objectives.shape[:-1], points), dtype=bool)
    better = np.zeros_like(no_worse)
    for column in np.moveaxis(objectives, -1, 0):
        mine, theirs = column[..., :, np.newaxis], column[..., np.newaxis, :]
        no_worse &= theirs <= mine
        better |= theirs < mine
    undominated: NDArray[np.bool_] = np.logical_not(np.any(no_worse & better, axis=-1))
    return undominated
