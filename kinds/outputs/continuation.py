"""The text that follows a prompt, by a decoder that reads both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kinds.contract import Batch, Example
from kinds.outputs.texts import Texts
from kinds.outputs.token_labels import next_tokens

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn


@dataclass(frozen=True)
class Continuation(Texts):
    """The target's tokens, and the one that ends it. The prompt's are not learnt.

    The label at a place is the token after it.
    """

    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """At each place the token that comes next, where that is the target's."""
        targets = rows["target"].to_pylist()
        return [
            {"labels": next_tokens(one), "reference": reference}
            for one, reference in zip(inputs, targets, strict=True)
        ]

    def joined(self, targets: Sequence[Example]) -> Example:
        """The labels one after another: the last one of each example is none."""
        import numpy as np

        return {"labels": np.concatenate([one["labels"] for one in targets])}

    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """The first token of the vocabulary at every place."""
        import torch

        return {"labels": torch.zeros_like(inputs["input_ids"])}

    @property
    def most_written(self) -> int:
        """What it is written up to, for the prompt stays before it."""
        return self.decoding.max_new_tokens

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """What the model says at every place, (batch, tokens, vocabulary)."""
        found: torch.Tensor = model(**batch.inputs, use_cache=False).logits
        return found
