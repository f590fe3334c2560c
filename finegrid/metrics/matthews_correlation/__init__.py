"""The Matthews correlation by its sums over items: right items, labels and predictions a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.classes import one_hot
from finegrid.metrics.contract import Floats, Metric, ratio
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("matthews_correlation")
@dataclass(frozen=True)
class MatthewsCorrelation(Metric):
    """The correlation coefficient of Matthews 1975, for any number of classes by Gorodkin 2004.

    With c right items of s, t_j labels and p_j predictions of class j it is
    (c s - sum t_j p_j) / sqrt((s^2 - sum p_j^2) (s^2 - sum t_j^2)); 0 where that divides by 0, as
    for constant predictions. The whole confusion matrix is not needed.
    """

    defined_on: ClassVar = "classes"

    def statistics(self, predictions: pa.Table) -> Floats:
        """1 for a right item, its label and its prediction one-hot, (items, 1 + 2 classes)."""
        true, found = one_hot(predictions)
        return np.hstack([(true * found).sum(axis=1, keepdims=True), true, found])

    def total(self, sums: Floats) -> Floats:
        """The coefficient of the sums c, t and p."""
        right = sums[..., 0]
        true, found = np.split(sums[..., 1:], 2, axis=-1)
        items = true.sum(axis=-1)
        spreads = [items**2 - (side**2).sum(axis=-1) for side in (true, found)]
        together = right * items - (true * found).sum(axis=-1)
        found_to = ratio(together, np.sqrt(spreads[0] * spreads[1]), undefined=0.0)
        return np.where(items > 0, found_to, np.nan)
