"""F1 of class 1 by its sums over items: true positives, false positives, false negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, floats, ratio
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("f1")
@dataclass(frozen=True)
class F1(Metric):
    """2 PR / (P + R) = 2 TP / (2 TP + FP + FN) of class 1; 0 without any of the three."""

    defined_on: ClassVar = "classes"

    def statistics(self, predictions: pa.Table) -> Floats:
        """Whether the item is a true positive, a false positive, a false negative, (items, 3)."""
        true, found = floats(predictions, "label"), floats(predictions, "prediction")
        if not np.isin([true, found], (0, 1)).all():
            raise ValueError("f1 is defined on the classes 0 and 1; of more there is macro_f1")
        return np.column_stack([true * found, (1 - true) * found, true * (1 - found)])

    def total(self, sums: Floats) -> Floats:
        """2 TP / (2 TP + FP + FN)."""
        twice = 2 * sums[..., 0]
        return ratio(twice, twice + sums[..., 1] + sums[..., 2], undefined=0.0)
