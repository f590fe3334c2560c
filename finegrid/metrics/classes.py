"""What metrics of classes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finegrid.metrics.contract import Floats, floats

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
