"""Pearson's correlation by its sums over items: items, values, squares and products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, floats, ratio
from finegrid.metrics.moments import squares_about_mean
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("pearson")
@dataclass(frozen=True)
class Pearson(Metric):
    """The correlation of labels y and predictions f; undefined where either are all equal."""

    defined_on: ClassVar = "numbers"

    def statistics(self, predictions: pa.Table) -> Floats:
        """1, y, f, y^2, f^2 and y f, shape (items, 6); y and f are taken from their means."""
        true, found = floats(predictions, "label"), floats(predictions, "prediction")
        # the score does not change with the origins, and sums of small squares lose no digits
        y, f = true - true.mean(), found - found.mean()
        return np.column_stack([np.ones(len(y)), y, f, y**2, f**2, y * f])

    def total(self, sums: Floats) -> Floats:
        """(S(y f) - S(y) S(f) / n) / sqrt((S(y^2) - S(y)^2 / n) (S(f^2) - S(f)^2 / n))."""
        items, y, f, y_squares, f_squares, products = np.moveaxis(sums, -1, 0)
        spreads = squares_about_mean(items, y, y_squares), squares_about_mean(items, f, f_squares)
        together = products - ratio(y * f, items, undefined=0.0)
        # the roots apart: the product of two small squares would be 0
        correlation = ratio(together, np.sqrt(spreads[0]) * np.sqrt(spreads[1]))
        return np.clip(correlation, -1.0, 1.0)
