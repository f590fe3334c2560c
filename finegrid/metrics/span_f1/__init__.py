"""F1 of entities by its sums over items: entities that are right, predicted and true."""

from __future__ import annotations

from dataclasses import dataclass

from finegrid.metrics.contract import Floats, ratio
from finegrid.metrics.registry import register
from finegrid.metrics.tags import EntityMetric


@register("span_f1")
@dataclass(frozen=True)
class SpanF1(EntityMetric):
    """2 PR / (P + R) = 2 TP / (predicted + true) of entities; 0 without any of them."""

    def total(self, sums: Floats) -> Floats:
        """2 TP / (predicted + true)."""
        twice = 2 * sums[..., 0]
        return ratio(twice, sums[..., 1] + sums[..., 2], undefined=0.0)
