"""The Pareto front of scores against costs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.statistics.arrays import Floats, checked
from analysis.statistics.bootstrap import RESAMPLES, chunks, draw_counts


def pareto_front(costs: ArrayLike, scores: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates, shape (points,).

    costs: shape (points, costs), such as bytes and seconds, lower is better; scores: shape
    (points,), higher is better. One point dominates another if it is worse in nothing and better
    in something, so equal points stand or fall together. Raises ValueError for an empty axis, for
    unlike numbers of points and for a value that is not finite.
    """
    paid = checked(costs, "costs", points=1, costs=1)
    gained = checked(scores, "scores", points=1)
    return _undominated(_objectives(paid, gained, "points"))


def front_probability(
    costs: Sequence[ArrayLike],
    scores: Sequence[ArrayLike],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Floats:
    """Share of resamples in which each cell lies on the front of the means, shape (cells,).

    costs: for each cell the costs of its runs, shape (seeds, costs); scores: for each cell the
    scores of the same runs, shape (seeds,). Cells may differ in their number of seeds. Each cell
    draws its own seeds with replacement, costs and score of a seed together.

    Raises ValueError, naming the cell, for fewer than two seeds, for unlike numbers of seeds and
    for a value that is not finite; and for no cell, for unlike numbers of cells or kinds of cost,
    and for fewer than one resample.
    """
    if not len(costs) or len(costs) != len(scores):
        raise ValueError(f"costs are of {len(costs)} cells, scores of {len(scores)}")
    cells = [_cell(number, *pair) for number, pair in enumerate(zip(costs, scores, strict=True))]
    kinds = {cell.shape[1] - 1 for cell in cells}
    if len(kinds) > 1:
        raise ValueError(
            f"every cell must have the same kinds of cost, not {sorted(kinds)} of them"
        )
    hits = np.zeros(len(cells))
    for size in chunks(resamples, len(cells) ** 2):
        means = np.stack([_means(cell, rng, size) for cell in cells], axis=1)
        hits += _undominated(means).sum(axis=0)
    return hits / resamples


def _cell(number: int, costs: ArrayLike, scores: ArrayLike) -> Floats:
    paid = checked(costs, f"costs of cell {number}", seeds=2, costs=1)
    gained = checked(scores, f"scores of cell {number}", seeds=2)
    return _objectives(paid, gained, f"seeds of cell {number}")


def _objectives(costs: Floats, scores: Floats, of: str) -> Floats:
    """Costs and the negated score side by side: lower is better in each column."""
    if len(costs) != len(scores):
        raise ValueError(f"costs have {len(costs)} {of}, scores {len(scores)}")
    return np.column_stack([costs, -scores])


def _means(cell: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Means of resampled seeds, shape (resamples, objectives)."""
    # from the first seed on, so that a constant cost stays the same number and ties stay ties
    means: Floats = cell[0] + draw_counts(rng, resamples, len(cell)) @ (cell - cell[0]) / len(cell)
    return means


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
