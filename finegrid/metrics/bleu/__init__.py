"""BLEU by its sums over items: words of both sides, n-grams that match, and n-grams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, ratio
from finegrid.metrics.registry import register
from finegrid.records.references import references

if TYPE_CHECKING:
    import pyarrow as pa

_ORDERS = 4


@register("bleu")
@dataclass(frozen=True)
class Bleu(Metric):
    """BLEU of the corpus, 0 to 100, as sacrebleu computes it with its defaults.

    Papineni et al. 2002, P02-1040: min(1, exp(1 - r / c)) exp(mean_n log p_n), n from 1 to 4. A p_n
    without a match is 1 / (2^k matches), k counting such orders from the first (Post 2018,
    arXiv:1804.08771; the words are those of its tokenizer 13a). Of several references an n-gram
    counts as often as any one has it, and r is the length that is closest.
    """

    defined_on: ClassVar = "texts"
    columns: ClassVar[tuple[str, ...]] = ("reference", "text")

    def statistics(self, predictions: pa.Table) -> Floats:
        """Words of the text, of the reference, matches and n-grams of each order, (items, 10)."""
        from sacrebleu.metrics.bleu import BLEU

        scorer = BLEU(effective_order=True)  # of sentences: it changes no count
        pairs = zip(*(predictions[name].to_pylist() for name in self.columns), strict=True)
        scored = (scorer.sentence_score(text, references(given)) for given, text in pairs)
        rows = [[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in scored]
        return np.array(rows, dtype=np.float64).reshape(-1, 2 + 2 * _ORDERS)

    def total(self, sums: Floats) -> Floats:
        """BLEU of the sums; NaN without a word of a reference, 0 without a match."""
        words, references = sums[..., 0], sums[..., 1]
        matches, grams = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
        missed = np.cumsum((matches == 0) & (grams > 0), axis=-1)
        smoothed = np.where(matches > 0, matches, 0.5**missed)
        precisions = ratio(smoothed, grams, undefined=0.0)
        with np.errstate(divide="ignore"):
            mean = np.exp(np.log(precisions).mean(axis=-1))
        brevity = np.exp(np.minimum(0.0, 1 - ratio(references, words, undefined=np.inf)))
        scores = np.where((matches > 0).any(axis=-1), 100 * brevity * mean, 0.0)
        return np.where(references > 0, scores, np.nan)
