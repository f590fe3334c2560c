"""What metrics of tags share: the entities that tags name by strict IOB2, and their counts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric
from finegrid.records.iob2 import BEGINS, GOES_ON, OUTSIDE, Entity, check, entities

if TYPE_CHECKING:
    import pyarrow as pa


class TagMetric(Metric):
    """A score of tags, one a word. An item is a sequence of words.

    Of a word that a model has not read nothing is predicted: it stands for `O`, and is wrong.
    """

    defined_on: ClassVar[str | None] = "tags"
    columns: ClassVar[tuple[str, ...]] = ("tags", "predicted")

    def pairs(self, predictions: pa.Table) -> Iterator[tuple[list[str], list[str | None]]]:
        """The tags of each item and those that are predicted. Raises ValueError for lengths."""
        for true, found in zip(
            *(predictions[one].to_pylist() for one in self.columns), strict=True
        ):
            if len(true) != len(found):
                raise ValueError(f"{len(found)} predictions for {len(true)} words")
            yield true, found


class EntityMetric(TagMetric):
    """A score of entities: right where type, first and last word are those of a true one.

    As `seqeval` has it with mode="strict", scheme=IOB2 (Tjong Kim Sang and De Meulder 2003,
    W03-0419, count the same of tags without a mistake).
    """

    def statistics(self, predictions: pa.Table) -> Floats:
        """Entities that are right, predicted, and true, of each item, shape (items, 3).

        Raises ValueError for true tags that are no IOB2.
        """
        counts = [_counts(*pair) for pair in self.pairs(predictions)]
        return np.array(counts, dtype=np.float64).reshape(-1, 3)


def _counts(true: Sequence[str], found: Sequence[str | None]) -> tuple[int, int, int]:
    check(true)
    first, second = entities(true), entities(found)
    return len(first & second), len(second), len(first)


def scored(predictions: Any, references: Any) -> list[tuple[int, int]]:
    """1 and 0 of each entity of two corpora: whether it is true, and whether it is predicted.

    What begins and goes on is read off the signs of a whole sequence, apart from `entities`.
    """
    rows = []
    for pair in zip(references, predictions, strict=True):
        first, second = map(_matches, pair)
        rows += [(int(one in first), int(one in second)) for one in sorted(first | second)]
    return rows


def _matches(given: Sequence[str | None]) -> set[Entity]:
    tags = [tag or OUTSIDE for tag in given]
    goes_on = [
        tag[:2] == f"{GOES_ON}-" and tag[2:] == before[2:] and before[:2] != OUTSIDE
        for before, tag in zip([OUTSIDE, *tags], tags, strict=False)
    ]
    signs = "".join(
        GOES_ON if more else BEGINS if tag[:2] == f"{BEGINS}-" else OUTSIDE
        for tag, more in zip(tags, goes_on, strict=True)
    )
    found = re.finditer(f"{BEGINS}{GOES_ON}*", signs)
    return {(tags[one.start()][2:], one.start(), one.end()) for one in found}
