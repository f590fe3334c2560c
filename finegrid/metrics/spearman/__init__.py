"""Spearman's rank correlation, computed again under each set of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, WeightedMetric, floats, ratio
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("spearman")
@dataclass(frozen=True)
class Spearman(WeightedMetric):
    """Pearson's correlation of the ranks of labels and predictions; ties share a mean rank.

    An item's rank depends on all others: the score is no function of sums over items. An item of
    weight w counts as w equal items. Undefined where either are all equal.
    """

    defined_on: ClassVar = "numbers"

    def statistics(self, predictions: pa.Table) -> Floats:
        """Label and prediction, shape (items, 2)."""
        return np.column_stack([floats(predictions, one) for one in ("label", "prediction")])

    def weighted(self, statistics: Floats, weights: Floats) -> Floats:
        """The correlation of the weighted ranks, shape (draws, ...)."""
        items, *between, _ = statistics.shape
        columns = statistics.reshape(items, -1, 2)
        found = [_correlation(columns[:, at], weights) for at in range(columns.shape[1])]
        return np.stack(found, axis=-1).reshape(len(weights), *between)


def _correlation(values: Floats, weights: Floats) -> Floats:
    """Of two columns, values (items, 2), under weights (draws, items): shape (draws,)."""
    middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
    y, f = (_ranks(side, weights) - middle for side in values.T)
    y_squares, f_squares, products = (
        np.einsum("di,di,di->d", weights, *pair) for pair in ((y, y), (f, f), (y, f))
    )
    correlation = ratio(products, np.sqrt(y_squares) * np.sqrt(f_squares))
    return np.clip(correlation, -1.0, 1.0)


def _ranks(values: Floats, weights: Floats) -> Floats:
    """Mean ranks from 1 of weighted items, shape (draws, items); half of a number, so exact."""
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)  # (draws, distinct)
    ranks = np.cumsum(tied, axis=1) - (tied - 1) / 2
    return ranks[:, place]
