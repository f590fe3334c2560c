"""What metrics of tags share: the tags of words, and the entities that tags name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric

if TYPE_CHECKING:
    import pyarrow as pa


class TagMetric(Metric):
    """A score of tags, one a word. An item is a sequence of words.

    Of a word that a model has not read nothing is predicted, which is wrong.
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


class EntityMetric(Metric):
    """A score of entities: right where type, first and last word are those of a true one.

    What the entities are the scheme of the tags decides, before they are predicted: predictions
    hold them as texts, no two of an item alike.
    """

    defined_on: ClassVar[str | None] = "tags"
    columns: ClassVar[tuple[str, ...]] = ("entities", "predicted_entities")

    def statistics(self, predictions: pa.Table) -> Floats:
        """Entities that are right, predicted, and true, of each item, shape (items, 3)."""
        sides = (map(set, predictions[one].to_pylist()) for one in self.columns)
        counts = [(len(a & b), len(b), len(a)) for a, b in zip(*sides, strict=True)]
        return np.array(counts, dtype=np.float64).reshape(-1, 3)


def scored(predictions: Any, references: Any) -> list[tuple[int, int]]:
    """1 and 0 of each entity of two corpora: whether it is true, and whether it is predicted."""
    rows: list[tuple[int, int]] = []
    for true, found in zip(references, predictions, strict=True):
        every: Sequence[str] = sorted({*true, *found})
        rows += [(int(one in true), int(one in found)) for one in every]
    return rows
