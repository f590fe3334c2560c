"""The text that follows a prompt, by a decoder that reads both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Any

from kinds.contract import Batch, Example, Row
from kinds.inputs.parts import PIECE
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
        """At each place the token that comes next, where that is the target's.

        Of a text in pieces the first has what is true.
        """
        targets, found = iter(rows["target"].to_pylist()), list[Example]()
        for one in inputs:
            piece = {PIECE: one[PIECE]} if PIECE in one else {}
            reference = "" if piece.get(PIECE) else next(targets)
            found.append({"labels": next_tokens(one), "reference": reference} | piece)
        return found

    def encoded(self, target: Example) -> pa.Schema:
        """A list of 32-bit integers, what is true, and the number of a piece."""
        import pyarrow as pa

        found = super().encoded(target)
        return found.append(pa.field(PIECE, pa.int32())) if PIECE in target else found

    def is_altered(self, target: Example, processor: Any) -> bool:
        """Not asked of a piece: nothing is written that would be held against it."""
        return PIECE not in target and super().is_altered(target, processor)

    def merged(
        self, said: Sequence[Row], inputs: Sequence[Example], targets: Sequence[Example]
    ) -> Row:
        """The likelihood of all pieces together, and their tokens; nothing is written after one."""
        return said[0] | {
            "log_likelihood": fsum(one["log_likelihood"] for one in said),
            "target_tokens": sum(one["target_tokens"] for one in said),
        }

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
