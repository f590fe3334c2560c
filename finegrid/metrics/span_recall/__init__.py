"""Recall of entities by its sums over items: entities that are right, predicted and true."""

from __future__ import annotations

from dataclasses import dataclass

from finegrid.metrics.contract import Floats, ratio
from finegrid.metrics.registry import register
from finegrid.metrics.tags import EntityMetric


@register("span_recall")
@dataclass(frozen=True)
class SpanRecall(EntityMetric):
    """The share of true entities that are predicted; 0 where there is none."""

    def total(self, sums: Floats) -> Floats:
        """TP / true."""
        return ratio(sums[..., 0], sums[..., 2], undefined=0.0)
