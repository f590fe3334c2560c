"""ROUGE-L by its sums over items: the F-measures of longest common subsequences, and items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, ratio
from finegrid.metrics.registry import register
from finegrid.records.references import references

if TYPE_CHECKING:
    import pyarrow as pa

_WORDS = re.compile(r"[a-z0-9]+")


@register("rouge_l")
@dataclass(frozen=True)
class RougeL(Metric):
    """The mean of 2 P R / (P + R), P and R the longest common subsequence in words of each text.

    Lin 2004, aclanthology W04-1013, as the package rouge-score computes it: words are made of a-z
    and 0-9 in small letters, without stemming. 0 where a text has no such word. Of several
    references the best one counts.
    """

    defined_on: ClassVar = "texts"
    columns: ClassVar[tuple[str, ...]] = ("reference", "text")

    def statistics(self, predictions: pa.Table) -> Floats:
        """The F-measure of each item, and 1, shape (items, 2)."""
        pairs = zip(*(predictions[name].to_pylist() for name in self.columns), strict=True)
        found = [_best(references(given), text) for given, text in pairs]
        return np.column_stack([np.array(found, dtype=np.float64), np.ones(len(found))])

    def total(self, sums: Floats) -> Floats:
        """The mean."""
        return ratio(sums[..., 0], sums[..., 1])


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.lower())


def _best(given: Sequence[str], text: str) -> float:
    found = _words(text)
    return max(_f_measure(_words(one), found) for one in given)


def _f_measure(reference: list[str], found: list[str]) -> float:
    """2 L / (m + n) of texts of m and n words with a common subsequence of L."""
    both = len(reference) + len(found)
    return 2 * _common(reference, found) / both if reference and found else 0.0


def _common(first: list[str], second: list[str]) -> int:
    """The length of the longest common subsequence, by the bits of whole numbers.

    Hyyro 2004, Bit-parallel LCS-length computation revisited.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    whole = (1 << len(first)) - 1
    row = whole
    for word in second:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & whole
    return len(first) - row.bit_count()
