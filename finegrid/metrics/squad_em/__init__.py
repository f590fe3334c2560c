"""SQuAD's exact match by its sums over items: right items and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from finegrid.metrics.answers import COLUMNS, exact, statistics
from finegrid.metrics.contract import Floats, Metric, ratio
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("squad_em")
@dataclass(frozen=True)
class SquadEM(Metric):
    """The share of questions whose text is one of the answers, both normalised.

    Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1.
    """

    binary: ClassVar[bool] = True
    defined_on: ClassVar = "spans"
    columns: ClassVar[tuple[str, ...]] = COLUMNS

    def statistics(self, predictions: pa.Table) -> Floats:
        """1 for a right item, and 1, shape (items, 2)."""
        return statistics(predictions, exact)

    def total(self, sums: Floats) -> Floats:
        """Right items over items."""
        return ratio(sums[..., 0], sums[..., 1])
