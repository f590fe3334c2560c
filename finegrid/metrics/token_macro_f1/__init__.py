"""Macro F1 of tags by its sums over items, as of classes, of which a word has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from finegrid.metrics.classes import mean_f1
from finegrid.metrics.contract import Floats
from finegrid.metrics.registry import register
from finegrid.metrics.tags import TagMetric

if TYPE_CHECKING:
    import pyarrow as pa


@register("token_macro_f1")
@dataclass(frozen=True)
class TokenMacroF1(TagMetric):
    """The mean over tags of 2 TP / (2 TP + FP + FN) of words; one of unread words is missed.

    A tag that is neither true nor predicted of any word has no part in the mean.
    """

    def statistics(self, predictions: pa.Table) -> Floats:
        """True positives, false positives, false negatives of each tag, (items, 3 tags)."""
        pairs = list(self.pairs(predictions))
        tags = sorted({tag for pair in pairs for side in pair for tag in side if tag is not None})
        place = {tag: at for at, tag in enumerate(tags)}
        counts = np.zeros((len(pairs), 3, len(tags)))
        for item, (true, found) in zip(counts, pairs, strict=True):
            for one, said in zip(true, found, strict=True):
                if one == said:
                    item[0, place[one]] += 1
                    continue
                item[2, place[one]] += 1
                if said is not None:
                    item[1, place[said]] += 1
        return counts.reshape(len(pairs), -1)

    def total(self, sums: Floats) -> Floats:
        """The mean F1 of the tags that occur."""
        return mean_f1(sums)
