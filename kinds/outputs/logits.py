"""What outputs share that are decided by a head's numbers of an example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.contract import Batch, Example, Output, Row

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from numpy.typing import NDArray
    from torch import nn

_SHOWN = 5


class Logits(Output):
    """One label an example, decided by the logits of a head: one term of the loss each."""

    scored_as: ClassVar[type]
    """What a label and a prediction are to a metric; parquet holds them as floats."""

    def predicted(self) -> pa.Schema:
        """Label and prediction as floats, and the logits."""
        import pyarrow as pa

        columns = {"label": pa.float64(), "prediction": pa.float64()}
        return pa.schema(columns | {"logits": pa.list_(pa.float64())})

    def weight(self, target: Example) -> int:
        """1: the label of the example."""
        return 1

    def truth(self, target: Example) -> Row:
        """The label."""
        return {"label": target["labels"]}

    def restored(self, rows: Sequence[Row]) -> list[Row]:
        """Labels and predictions as metrics read them."""
        return [
            row | {name: self.scored_as(row[name]) for name in ("label", "prediction")}
            for row in rows
        ]

    def forward(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The logits (batch, width)."""
        found: torch.Tensor = model(**batch.inputs).logits
        return found

    def predict(self, model: nn.Module, batch: Batch) -> list[Row]:
        """The logits of each example."""
        logits = self.forward(model, batch).float().cpu()
        return [{"logits": values} for values in logits.tolist()]


def table(said: Sequence[Row]) -> NDArray[Any]:
    """The logits (examples, width) of rows.

    Raises ValueError where they are no table of finite numbers.
    """
    import numpy as np

    rows = [row["logits"] for row in said]
    if any(row is None for row in rows):
        raise ValueError("logits are missing")
    logits = np.stack([np.asarray(row, dtype=float) for row in rows])
    if not np.isfinite(logits).all():
        raise ValueError("a logit is no finite number")
    return logits


def wrong_labels(rows: pa.Table, wrong: NDArray[Any], allowed: str) -> Iterator[str]:
    """How many labels are wrong, which `wrong` (rows,) says of each, and the first of them."""
    places = wrong.nonzero()[0].tolist()
    if places:
        shown = [f"{rows['label'][at]} in row {rows['id'][at].as_py()!r}" for at in places[:_SHOWN]]
        more = ", ..." if len(places) > _SHOWN else ""
        yield f"{len(places)} labels, {', '.join(shown)}{more}; allowed: {allowed}"
