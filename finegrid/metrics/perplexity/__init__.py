"""Perplexity by its sums over items: negative log-likelihoods and tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from finegrid.metrics.contract import Floats, Metric, floats, ratio
from finegrid.metrics.registry import register

if TYPE_CHECKING:
    import pyarrow as pa


@register("perplexity")
@dataclass(frozen=True)
class Perplexity(Metric):
    """exp of the mean negative log-likelihood of a token of the references, given those before."""

    higher_is_better: ClassVar[bool] = False
    defined_on: ClassVar = "texts"
    columns: ClassVar[tuple[str, ...]] = ("target_tokens", "log_likelihood")
    within: ClassVar = "each tokenizer cuts the same text into tokens of its own"

    def statistics(self, predictions: pa.Table) -> Floats:
        """-log p of the reference, in nats, and its tokens, shape (items, 2)."""
        tokens, likelihoods = (floats(predictions, name) for name in self.columns)
        return np.column_stack([-likelihoods, tokens])

    def total(self, sums: Floats) -> Floats:
        """exp(S(-log p) / S(tokens))."""
        with np.errstate(over="ignore"):
            found: Floats = np.exp(ratio(sums[..., 0], sums[..., 1]))
        return found
