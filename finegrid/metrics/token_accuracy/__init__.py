"""Accuracy of tags by its sums over items: words whose tag is right, and words."""

from __future__ import annotations

from dataclasses import dataclass
from operator import eq
from typing import TYPE_CHECKING

import numpy as np

from finegrid.metrics.contract import Floats, ratio
from finegrid.metrics.registry import register
from finegrid.metrics.tags import TagMetric

if TYPE_CHECKING:
    import pyarrow as pa


@register("token_accuracy")
@dataclass(frozen=True)
class TokenAccuracy(TagMetric):
    """The share of words whose tag is right; words that a model has not read are wrong."""

    def statistics(self, predictions: pa.Table) -> Floats:
        """Words whose tag is right, and words, of each item, shape (items, 2)."""
        counts = [(sum(map(eq, true, found)), len(true)) for true, found in self.pairs(predictions)]
        return np.array(counts, dtype=np.float64).reshape(-1, 2)

    def total(self, sums: Floats) -> Floats:
        """Right words over words."""
        return ratio(sums[..., 0], sums[..., 1])
