"""Exact match by its sums over items: right items and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, ratio
from finegrid.metrics.registry import register
from finegrid.records.references import references

if TYPE_CHECKING:
    import pyarrow as pa


@register("exact_match")
@dataclass(frozen=True)
class ExactMatch(Metric):
    """The share of texts whose answer is the reference's, or any reference's, sign by sign."""

    binary: ClassVar[bool] = True
    defined_on: ClassVar = "texts"
    columns: ClassVar[tuple[str, ...]] = ("answer", "extracted")

    def statistics(self, predictions: pa.Table) -> Floats:
        """1 for a right item, and 1, shape (items, 2)."""
        pairs = zip(*(predictions[name].to_pylist() for name in self.columns), strict=True)
        right = [found in references(given) for given, found in pairs]
        return np.column_stack([np.array(right, dtype=np.float64), np.ones(len(right))])

    def total(self, sums: Floats) -> Floats:
        """Right items over items."""
        return ratio(sums[..., 0], sums[..., 1])
