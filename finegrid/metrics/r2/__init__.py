"""R2 by its sums over items: items, labels, their squares, and squared errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, floats, ratio
from finegrid.metrics.moments import squares_about_mean
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("r2")
@dataclass(frozen=True)
class R2(Metric):
    """1 - sum (y - f)^2 / sum (y - mean y)^2; undefined where all labels are equal."""

    defined_on: ClassVar = "numbers"

    def statistics(self, predictions: pa.Table) -> Floats:
        """1, y, y^2 and (y - f)^2, shape (items, 4); y is taken from the mean of all labels."""
        true, found = floats(predictions, "label"), floats(predictions, "prediction")
        # the score does not change with the origin of y, and sums of small squares lose no digits
        own = true - true.mean()
        return np.column_stack([np.ones(len(own)), own, own**2, (true - found) ** 2])

    def total(self, sums: Floats) -> Floats:
        """1 - S((y - f)^2) / (S(y^2) - S(y)^2 / n)."""
        spread = squares_about_mean(sums[..., 0], sums[..., 1], sums[..., 2])
        return 1 - ratio(sums[..., 3], spread)
