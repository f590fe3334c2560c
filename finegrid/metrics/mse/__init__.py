"""The mean squared error by its sums over items: squared errors and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, floats, ratio
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("mse")
@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """mean (y - f)^2, of which less is better."""

    higher_is_better: ClassVar[bool] = False
    defined_on: ClassVar = "numbers"

    def statistics(self, predictions: pa.Table) -> Floats:
        """(y - f)^2 and 1, shape (items, 2)."""
        errors = floats(predictions, "label") - floats(predictions, "prediction")
        return np.column_stack([errors**2, np.ones(len(errors))])

    def total(self, sums: Floats) -> Floats:
        """The sum of squared errors over items."""
        return ratio(sums[..., 0], sums[..., 1])
