"""One class of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.contract import Batch, Example, Row
from kinds.outputs.cross_entropy import CrossEntropy, summed
from kinds.outputs.logits import Logits, table, wrong_labels

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn


@dataclass(frozen=True)
class OneClass(CrossEntropy, Logits):
    """The class of the largest logit, learnt by cross-entropy."""

    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    truths: ClassVar = "classes"
    predictor: ClassVar[str | None] = "majority class"
    scored_as: ClassVar[type] = int

    def schema(self) -> pa.Schema:
        """Column `label`: the index of the class."""
        import pyarrow as pa

        return pa.schema([("label", pa.int64())])

    def label_problem(self, labels: Sequence[str]) -> str | None:
        """Classes have names, which are two or more."""
        return None if len(labels) >= 2 else f"labels: {list(labels)}; allowed: 2 classes or more"

    def problems(self, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
        """Labels that are the index of no class."""
        values = rows["label"].to_numpy()
        wrong = (values < 0) | (values >= len(labels))
        yield from wrong_labels(rows, wrong, f"0 to {len(labels) - 1}")

    def counts(self, rows: pa.Table, labels: Sequence[str]) -> dict[str, int]:
        """Examples by class."""
        found = Counter(rows["label"].to_pylist())
        return {label: found[index] for index, label in enumerate(labels)}

    def width(self, labels: Sequence[str]) -> int:
        """A logit a class."""
        return len(labels)

    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """The index of the class."""
        return [{"labels": label} for label in rows["label"].to_pylist()]

    def encoded(self, target: Example) -> pa.Schema:
        """A whole number."""
        import pyarrow as pa

        return pa.schema([("labels", pa.int64())])

    def collate(self, targets: Sequence[Example]) -> dict[str, torch.Tensor]:
        """Class indices (batch,)."""
        import torch

        return {"labels": torch.tensor([target["labels"] for target in targets])}

    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """The first class for each example."""
        import torch

        count = len(next(iter(inputs.values())))
        return {"labels": torch.zeros(count, dtype=torch.long)}

    def smoothed_loss(self, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
        """Cross-entropy, summed over the examples."""
        return summed(self.forward(model, batch).float(), batch.targets["labels"], smoothing)

    def decide(self, said: Sequence[Row]) -> list[Row]:
        """The class of the largest logit, of equal ones the first."""
        return [{"prediction": one} for one in table(said).argmax(axis=1).tolist()]

    def trivial(self, truths: Sequence[Row], labels: Sequence[str]) -> Row:
        """The most frequent class, of equal counts the first."""
        counts = Counter(truth["label"] for truth in truths)
        return {"prediction": max(range(len(labels)), key=counts.__getitem__)}
