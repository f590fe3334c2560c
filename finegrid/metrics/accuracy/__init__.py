"""Accuracy by its sums over items: right items and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, floats, ratio
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("accuracy")
@dataclass(frozen=True)
class Accuracy(Metric):
    """The share of predictions that equal the label."""

    binary: ClassVar[bool] = True
    defined_on: ClassVar[str | tuple[str, ...] | None] = ("classes", "choices")

    def statistics(self, predictions: pa.Table) -> Floats:
        """1 for a right item, and 1, shape (items, 2)."""
        label, prediction = (floats(predictions, name) for name in self.columns)
        right = prediction == label
        return np.column_stack([right, np.ones(len(right))])

    def total(self, sums: Floats) -> Floats:
        """Right items over items."""
        return ratio(sums[..., 0], sums[..., 1])
