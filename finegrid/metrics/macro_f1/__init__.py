"""Macro F1 by its sums over items: true positives, false positives, false negatives a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.classes import mean_f1, one_hot
from finegrid.metrics.contract import Floats, Metric
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("macro_f1")
@dataclass(frozen=True)
class MacroF1(Metric):
    """The mean over classes of 2 TP / (2 TP + FP + FN).

    A class that is neither a label nor a prediction of any item has no part in the mean.
    """

    defined_on: ClassVar = "classes"

    def statistics(self, predictions: pa.Table) -> Floats:
        """True positives, false positives, false negatives of each class, (items, 3 classes)."""
        true, found = one_hot(predictions)
        return np.hstack([true * found, (1 - true) * found, true * (1 - found)])

    def total(self, sums: Floats) -> Floats:
        """The mean F1 of the classes that occur."""
        return mean_f1(sums)
