"""chrF by its sums over items: n-grams of characters of both sides, and those that match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, ratio
from finegrid.metrics.registry import register
from finegrid.records.references import references

if TYPE_CHECKING:
    import pyarrow as pa

_ORDERS, _BETA = 6, 2


@register("chrf")
@dataclass(frozen=True)
class ChrF(Metric):
    """chrF of the corpus, 0 to 100, as sacrebleu computes it with its defaults.

    Popovic 2015, W15-3049: (1 + b^2) P R / (b^2 P + R), b = 2, P and R the means over n from 1 to 6
    of the share of n-grams of characters that match, spaces left out. Of several references the one
    counts that the text scores best against.
    """

    defined_on: ClassVar = "texts"
    columns: ClassVar[tuple[str, ...]] = ("reference", "text")

    def statistics(self, predictions: pa.Table) -> Floats:
        """n-grams of the text, of the reference, and matches, by order, shape (items, 18)."""
        pairs = zip(*(predictions[name].to_pylist() for name in self.columns), strict=True)
        rows = [self._best(references(given), text) for given, text in pairs]
        return np.array(rows, dtype=np.float64).reshape(-1, 3 * _ORDERS)

    def _best(self, given: Sequence[str], text: str) -> list[int]:
        """The counts against the reference of the best score, of equals the first."""
        found = "".join(text.split())
        rows = [_counts("".join(one.split()), found) for one in given]
        if len(rows) == 1:
            return rows[0]
        scores = np.nan_to_num(self.total(np.array(rows, dtype=np.float64)))
        return rows[int(scores.argmax())]

    def total(self, sums: Floats) -> Floats:
        """chrF of the sums; NaN without a character of a reference."""
        found, true, matches = (sums[..., at::3] for at in range(3))
        counted = (found > 0) & (true > 0)
        orders = counted.sum(axis=-1)
        precision, recall = (
            ratio(np.where(counted, ratio(matches, side, 0.0), 0.0).sum(axis=-1), orders, 0.0)
            for side in (found, true)
        )
        weight = _BETA**2
        score = ratio((1 + weight) * precision * recall, weight * precision + recall, 0.0)
        return np.where(true[..., 0] > 0, 100 * score, np.nan)


def _counts(reference: str, text: str) -> list[int]:
    """Of each order: n-grams of the text, where the reference has any, of it, and matches."""
    row = []
    for order in range(1, _ORDERS + 1):
        true, found = (_grams(side, order) for side in (reference, text))
        row += [found.total() if true else 0, true.total(), (true & found).total()]
    return row


def _grams(text: str, order: int) -> Counter[str]:
    return Counter(text[at : at + order] for at in range(len(text) - order + 1))
