"""The text that an encoder's text is turned into, by a decoder that reads the encoder's states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.records.references import references
from kinds.contract import Batch, Example
from kinds.outputs.texts import Texts
from kinds.outputs.token_labels import LEFT_OUT

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn


@dataclass(frozen=True)
class Translation(Texts):
    """The target's tokens, as the tokenizer gives those of a target, and the one that ends it.

    What is longer than the length lacks its end.
    """

    lacking: ClassVar[str] = "sources or targets are cut at max_length"
    is_apart: ClassVar[bool] = True

    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """The tokens of each target."""
        targets = rows["target"].to_pylist()
        learnt = [references(one)[0] for one in targets]
        found = processor.tokenizer(text_target=learnt)["input_ids"]
        return [
            _target(ids, target, processor.end, max_length)
            for ids, target in zip(found, targets, strict=True)
        ]

    def encoded(self, target: Example) -> pa.Schema:
        """A list of 32-bit integers, what is true, and how many tokens were cut off."""
        import pyarrow as pa

        return super().encoded(target).append(pa.field("left_out", pa.int32()))

    def left_out(self, target: Example) -> int:
        """The tokens at its end, with the one that ends it."""
        return int(target["left_out"])

    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """The first token of the vocabulary at every place."""
        import torch

        return {"labels": torch.zeros(len(inputs["input_ids"]), terms, dtype=torch.long)}

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """What the decoder says, (batch, tokens, vocabulary), which reads the labels before."""
        begun = _begun(model, batch.targets["labels"])
        found: torch.Tensor = model(**batch.inputs, decoder_input_ids=begun, use_cache=False).logits
        return found


def _begun(model: Any, labels: torch.Tensor) -> torch.Tensor:
    """What the decoder reads: the labels one place on, behind the token that begins a text."""
    import torch

    alone = getattr(model, "module", model)  # inside of what exchanges gradients
    for name in ("prepare_decoder_input_ids_from_labels", "_shift_right"):
        if prepare := getattr(alone, name, None):
            begun: torch.Tensor = prepare(labels)
            return begun
    config = alone.config
    first = labels.new_full((len(labels), 1), config.decoder_start_token_id)
    known = labels.masked_fill(labels == LEFT_OUT, config.pad_token_id)
    return torch.cat([first, known[:, :-1]], dim=1)


def _target(ids: list[int], reference: str | list[str], end: int, max_length: int) -> Example:
    whole = ids if ids[-1:] == [end] else [*ids, end]
    return {
        "labels": whole[:max_length],
        "reference": reference,
        "left_out": max(0, len(whole) - max_length),
    }
