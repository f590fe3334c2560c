"""The contract that every metric fulfils.

A metric is a folder. Its package holds the class, which computes the score of any weighted set of
items: that is what resampling, leaving out and pairing take. The file of the folder's own name
beside it is the module of `evaluate` that computes the score which a record holds. A test holds
the two equal. The class needs numpy alone, so that statistics load no torch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
CHUNK_VALUES = 2**22
"""Weights that are held at a time where a score is computed without each item: 32 MiB."""


class WeightedMetric(ABC):
    """A score of items under weights. A subclass is a frozen dataclass without fields.

    `Metric` is the base of scores that are functions of sums over items, as most are.
    """

    higher_is_better: ClassVar[bool] = True
    binary: ClassVar[bool] = False
    """Whether the score is the mean of one 0 or 1 an item: McNemar's test applies."""
    defined_on: ClassVar[str | tuple[str, ...] | None] = None
    """What is true of an item: "classes", "numbers", "texts", "tags", "choices" or "spans", or
    several of these; None: it is not said."""
    columns: ClassVar[tuple[str, ...]] = ("label", "prediction")
    """The two columns of the predictions that are read; the first holds what is true."""
    within: ClassVar[str | None] = None
    """Why scores of two models do not compare, where those of one model's variants do."""

    @classmethod
    def is_defined_on(cls, truths: str) -> bool:
        """Whether the score is one of items of which that is true."""
        known = (cls.defined_on,) if isinstance(cls.defined_on, str) else cls.defined_on
        return known is None or truths in known

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is: sign * score is higher for the better."""
        return 1 if self.higher_is_better else -1

    @abstractmethod
    def statistics(self, predictions: pa.Table) -> Floats:
        """What each item contributes to the score, shape (items, k).

        k may depend on the classes that occur: statistics that meet in one score or comparison
        come from one table. Raises ValueError for predictions that the metric is not defined on.
        """

    @abstractmethod
    def weighted(self, statistics: Floats, weights: Floats) -> Floats:
        """The score of items that count as often as their weight says, shape (draws, ...).

        statistics: shape (items, ..., k); weights: shape (draws, items), not negative. NaN where
        the score is undefined.
        """

    def score(self, statistics: Floats) -> Floats:
        """The score of all items, shape (...) for statistics of shape (items, ..., k)."""
        whole: Floats = self.weighted(statistics, np.ones((1, len(statistics))))[0]
        return whole

    def without_each(self, statistics: Floats) -> Floats:
        """The score without each item in turn, shape (items, ...) for (items, ..., k)."""
        items = len(statistics)
        size = max(1, CHUNK_VALUES // max(items, 1))
        parts = [
            self.weighted(statistics, 1 - np.eye(min(size, items - first), items, first))
            for first in range(0, items, size)
        ]
        return np.concatenate(parts)

    def standard_error(self, statistics: Floats) -> float:
        """The standard error of the score over the items of statistics (items, k).

        Of a share p of n right items that is sqrt(p (1 - p) / n). NaN where none is known.
        """
        if not self.binary:
            return math.nan
        share = float(self.score(statistics))
        return math.sqrt(share * (1 - share) / len(statistics))


class Metric(WeightedMetric):
    """A score, and the sums over items that it is a function of."""

    @abstractmethod
    def total(self, sums: Floats) -> Floats:
        """The score of sums over items (..., k), shape (...); NaN where undefined."""

    def weighted(self, statistics: Floats, weights: Floats) -> Floats:
        """The score of the weighted sums, T(c · z), shape (draws, ...)."""
        sums: Floats = np.tensordot(weights, statistics, axes=1)
        return self.total(sums)

    def without_each(self, statistics: Floats) -> Floats:
        """The score of the sums less each item's part, T(S - z_i), shape (items, ...)."""
        return self.total(statistics.sum(axis=0) - statistics)

    def standard_error(self, statistics: Floats) -> float:
        """The standard error of the score over the items of statistics (items, k).

        Of a share of right items it is the binomial one, of any other score T the jackknife's,
        sqrt((n - 1) / n sum_i (T_i - mean T_i)^2) with T_i the score without item i (Tukey 1958;
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, equation 11.5). NaN where a
        score without an item has no value.
        """
        if self.binary:
            return super().standard_error(statistics)
        left_out = self.without_each(statistics)
        deviations = left_out - left_out.mean()
        return math.sqrt((1 - 1 / len(statistics)) * float(deviations @ deviations))


def ratio(over: Floats, under: Floats, undefined: float = np.nan) -> Floats:
    """over / under, element by element, and `undefined` where `under` is 0."""
    found: Floats = np.where(under != 0, over / np.where(under != 0, under, 1.0), undefined)
    return found


def floats(predictions: pa.Table, column: str) -> Floats:
    """A column of the predictions, shape (items,)."""
    return np.asarray(predictions[column], dtype=np.float64)
