"""Precision of entities by its sums over items: entities that are right, predicted and true."""

from __future__ import annotations

from dataclasses import dataclass

from finegrid.metrics.contract import Floats, ratio
from finegrid.metrics.registry import register
from finegrid.metrics.tags import EntityMetric


@register("span_precision")
@dataclass(frozen=True)
class SpanPrecision(EntityMetric):
    """The share of predicted entities that are right; 0 where none is predicted."""

    def total(self, sums: Floats) -> Floats:
        """TP / predicted."""
        return ratio(sums[..., 0], sums[..., 1], undefined=0.0)
