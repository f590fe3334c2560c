"""Accuracy of length-normalised likelihoods by its sums over items: right items and items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from finegrid.metrics.accuracy import Accuracy
from finegrid.metrics.registry import register


@register("acc_norm")
@dataclass(frozen=True)
class AccNorm(Accuracy):
    """The share of questions whose right choice has the largest log-likelihood per character.

    Length-normalised accuracy, as lm-evaluation-harness computes its `acc_norm` (Gao et al. 2021).
    """

    defined_on: ClassVar[str | tuple[str, ...] | None] = "choices"
    columns: ClassVar[tuple[str, ...]] = ("label", "prediction_norm")
