"""A number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.contract import Batch, Example, Row
from kinds.outputs.logits import Logits, table, wrong_labels

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn


@dataclass(frozen=True)
class OneNumber(Logits):
    """The single output of the head, learnt by the squared error."""

    metrics: ClassVar[tuple[str, ...]] = ("pearson", "spearman")
    truths: ClassVar = "numbers"
    predictor: ClassVar[str | None] = "mean"
    scored_as: ClassVar[type] = float

    def schema(self) -> pa.Schema:
        """Column `label`: the number."""
        import pyarrow as pa

        return pa.schema([("label", pa.float64())])

    def label_problem(self, labels: Sequence[str]) -> str | None:
        """Numbers have no names."""
        return f"labels: {list(labels)}; allowed: none, as they are numbers" if labels else None

    def problems(self, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
        """Labels that are no finite numbers."""
        import numpy as np

        wrong = ~np.isfinite(rows["label"].to_numpy())
        yield from wrong_labels(rows, wrong, "finite numbers")

    def counts(self, rows: pa.Table, labels: Sequence[str]) -> dict[str, int]:
        """None: there are no names to count by."""
        return {}

    def width(self, labels: Sequence[str]) -> int:
        """1."""
        return 1

    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """The number, in fp32 as it is learnt."""
        import numpy as np

        return [{"labels": one} for one in rows["label"].to_numpy().astype(np.float32).tolist()]

    def encoded(self, target: Example) -> pa.Schema:
        """A 32-bit float."""
        import pyarrow as pa

        return pa.schema([("labels", pa.float32())])

    def collate(self, targets: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Numbers (batch,)."""
        import torch

        labels = [target["labels"] for target in targets]
        return {"labels": torch.tensor(labels, dtype=torch.float32)}

    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """0 for each example."""
        import torch

        return {"labels": torch.zeros(len(next(iter(inputs.values()))))}

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The squared error, summed over the examples."""
        from torch.nn.functional import mse_loss

        found = self.forward(model, batch).float().squeeze(1)
        return mse_loss(found, batch.targets["labels"], reduction="sum")

    def decide(self, said: Sequence[Row]) -> list[Row]:
        """The single output."""
        return [{"prediction": one} for one in table(said)[:, 0].tolist()]

    def trivial(self, truths: Sequence[Row], labels: Sequence[str]) -> Row:
        """The mean."""
        return {"prediction": fmean(truth["label"] for truth in truths)}
