"""What metrics of classes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finegrid.metrics.contract import Floats, floats, ratio

if TYPE_CHECKING:
    import pyarrow as pa


def one_hot(predictions: pa.Table) -> tuple[Floats, Floats]:
    """1 at the class of each item, by its label and by its prediction, each (items, classes).

    The classes are 0 to the largest that occurs. Raises ValueError for what is no class index.
    """
    true, found = floats(predictions, "label"), floats(predictions, "prediction")
    both = np.concatenate([true, found])
    if (both < 0).any() or (both != np.floor(both)).any():
        raise ValueError("a class is a whole number from 0 on")
    classes = np.arange(int(both.max(initial=0)) + 1)
    rows = [(side[:, np.newaxis] == classes).astype(np.float64) for side in (true, found)]
    return rows[0], rows[1]


def mean_f1(sums: Floats) -> Floats:
    """The mean F1 of the classes that occur, of true and false positives and false negatives.

    These are the sums of each class, one after another: (..., 3 classes) -> (...).
    """
    hits, extra, missed = np.split(sums, 3, axis=-1)
    occurring = 2 * hits + extra + missed
    each = ratio(2 * hits, occurring, undefined=0.0)
    return ratio(each.sum(axis=-1), (occurring != 0).sum(axis=-1).astype(np.float64))
