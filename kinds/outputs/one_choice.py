"""The choice that answers a question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.contract import Batch, Example, Row
from kinds.outputs.cross_entropy import CrossEntropy, summed_of_present
from kinds.outputs.logits import Logits

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from torch import nn


@dataclass(frozen=True)
class OneChoice(CrossEntropy, Logits):
    """The choice of the largest logit, learnt by cross-entropy over the choices of a question."""

    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    truths: ClassVar = "choices"
    predictor: ClassVar[str | None] = "most frequent place"
    scored_as: ClassVar[type] = int

    def schema(self) -> pa.Schema:
        """Column `answer`: the place of the choice, from 0 on."""
        import pyarrow as pa

        return pa.schema([("answer", pa.int64())])

    def predicted(self) -> pa.Schema:
        """What can be read, question, choices, answer and the one chosen, and their numbers."""
        import pyarrow as pa

        texts = {name: pa.string() for name in ("question", "answer", "chosen")}
        numbers = {field.name: field.type for field in super().predicted()}
        return pa.schema(texts | {"choices": pa.list_(pa.string())} | numbers)

    def label_problem(self, labels: Sequence[str]) -> str | None:
        """Choices are those of each row, and have no names."""
        return f"labels: {list(labels)}; allowed: none, as rows have choices" if labels else None

    def problems(self, rows: pa.Table, labels: Sequence[str]) -> Iterator[str]:
        """Answers that are no place of a choice."""
        import pyarrow.compute as pc

        places = rows["answer"].to_numpy()
        counts = pc.list_value_length(rows["choices"]).to_numpy()
        wrong = ((places < 0) | (places >= counts)).nonzero()[0].tolist()
        if wrong:
            at = wrong[0]
            first = f"{places[at]} in row {rows['id'][at].as_py()!r}"
            yield f"answer: {first} ({len(wrong)} such rows); allowed: 0 to {counts[at] - 1}"

    def counts(self, rows: pa.Table, labels: Sequence[str]) -> dict[str, int]:
        """None: there are no names to count by."""
        return {}

    def width(self, labels: Sequence[str]) -> int:
        """1: a logit for each choice."""
        return 1

    def encode(
        self, rows: pa.Table, inputs: Sequence[Example], processor: Any, max_length: int
    ) -> list[Example]:
        """The place of the answer, and what a reader of the predictions sees."""
        columns = (rows[name].to_pylist() for name in ("answer", "question", "choices"))
        names = ("labels", "question", "choices")
        return [dict(zip(names, one, strict=True)) for one in zip(*columns, strict=True)]

    def encoded(self, target: Example) -> pa.Schema:
        """A whole number, and texts."""
        import pyarrow as pa

        types = {"labels": pa.int64(), "question": pa.string()}
        return pa.schema(types | {"choices": pa.list_(pa.string())})

    def collate(self, targets: Sequence[Example]) -> dict[str, torch.Tensor]:
        """The places of the answers, and how many choices there are, each (batch,)."""
        import torch

        labels = [target["labels"] for target in targets]
        counts = [len(target["choices"]) for target in targets]
        return {"labels": torch.tensor(labels), "counts": torch.tensor(counts)}

    def blank(self, inputs: dict[str, torch.Tensor], terms: int) -> dict[str, torch.Tensor]:
        """The first of all choices for each example."""
        import torch

        count, choices = inputs["input_ids"].shape[:2]
        labels = torch.zeros(count, dtype=torch.long)
        return {"labels": labels, "counts": labels + choices}

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The logits (batch, choices); minus infinity where a question has no such choice."""
        import torch

        logits = super().forward(model, batch)
        places = torch.arange(logits.shape[1], device=logits.device)
        lacking = places >= batch.targets["counts"][:, None]
        return logits.masked_fill(lacking, -torch.inf)

    def smoothed_loss(self, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
        """Cross-entropy over the choices of each question, summed over the questions."""
        logits = self.forward(model, batch).float()
        return summed_of_present(logits, batch.targets["labels"], smoothing)

    def predict(self, model: nn.Module, batch: Batch) -> list[Row]:
        """The logits of the choices that each question has."""
        said = super().predict(model, batch)
        counts = batch.targets["counts"].tolist()
        return [{"logits": row["logits"][:count]} for row, count in zip(said, counts, strict=True)]

    def truth(self, target: Example) -> Row:
        """The question, its choices, and the answer as text and as a place."""
        choices, label = target["choices"], target["labels"]
        texts = {"question": target["question"], "choices": choices, "answer": choices[label]}
        return texts | {"label": label}

    def decide(self, said: Sequence[Row]) -> list[Row]:
        """The choice of the largest logit, of equal ones the first.

        Raises ValueError where a question has not a finite logit for each choice.
        """
        return [_chosen(row) for row in said]

    def trivial(self, truths: Sequence[Row], labels: Sequence[str]) -> Row:
        """The place at which most answers stand, of equal counts the first."""
        counts = Counter(truth["label"] for truth in truths)
        return {"prediction": max(sorted(counts), key=counts.__getitem__)}


def _chosen(row: Row) -> Row:
    import numpy as np

    if row["logits"] is None or row["choices"] is None:
        raise ValueError("logits or choices are missing")
    logits = np.asarray(row["logits"], dtype=float)
    if len(logits) != len(row["choices"]) or not np.isfinite(logits).all():
        raise ValueError("a question has not a finite logit for each of its choices")
    at = int(logits.argmax())
    return {"prediction": at, "chosen": row["choices"][at]}
