"""SQuAD's F1 by its sums over items: the F-measures of words, and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from finegrid.metrics.answers import COLUMNS, overlap, statistics
from finegrid.metrics.contract import Floats, Metric, ratio
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("squad_f1")
@dataclass(frozen=True)
class SquadF1(Metric):
    """The mean of 2 P R / (P + R), P and R of the words of a text in the answer that it fits best.

    Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1.
    """

    defined_on: ClassVar = "spans"
    columns: ClassVar[tuple[str, ...]] = COLUMNS

    def statistics(self, predictions: pa.Table) -> Floats:
        """The F-measure of each item, and 1, shape (items, 2)."""
        return statistics(predictions, overlap)

    def total(self, sums: Floats) -> Floats:
        """The mean."""
        return ratio(sums[..., 0], sums[..., 1])
