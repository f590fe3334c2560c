"""A regression on points that the benchmark file itself holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from finegrid.records.prepared import SPLITS, SplitName
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import carve, shuffled

if TYPE_CHECKING:
    import pandas as pd

Finite = Annotated[float, Field(allow_inf_nan=False)]


@register("given-points")
@dataclass(frozen=True)
class GivenPoints(Task):
    """The points (x, y) of the options: what is y at x? It has no source.

    With `held_out: 0` every split holds all points. The scores named validation and test are then
    scores on the training points: they say how well a model fits, and nothing of points that it
    has not seen. The prepared task counts the points that its splits share.

    The primary metric is r2 = 1 - sum (y - f(x))^2 / sum (y - mean y)^2, which decides:
    of the mean squared error, which stands beside it, less is.
    """

    kind = "tabular-regression"
    labels = ()
    metrics = ("r2", "mse")

    x: Annotated[tuple[tuple[Finite, ...], ...], Field(min_length=2)]
    """One row of numbers a point, all rows of the same length."""
    y: tuple[Finite, ...]
    """One number a point."""
    held_out: Annotated[int, Field(ge=0)]
    """Points kept for validation, and as many for test; 0 scores on the training points.

    One point alone has no r2.
    """
    split_seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        """Check the options against each other. Raises ValueError."""
        lengths = sorted({len(row) for row in self.x})
        if len(lengths) > 1 or not lengths[0]:
            raise ValueError(f"x: rows of {lengths} numbers; allowed: one length, from 1")
        if len(self.y) != len(self.x):
            raise ValueError(f"y: {len(self.y)} numbers; allowed: {len(self.x)}, one a row of x")
        largest = (len(self.x) - 1) // 2
        if self.held_out and not 2 <= self.held_out <= largest:
            more = f", or 2 to {largest}" if largest >= 2 else ""
            raise ValueError(f"held_out: {self.held_out} of {len(self.x)} points; allowed: 0{more}")

    @property
    def input_size(self) -> int:
        """How many numbers a row of x has."""
        return len(self.x[0])

    def files(self) -> tuple[str, ...]:
        """None: the options hold the data."""
        return ()

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; `features` are the numbers of a row of `x`. Nothing is read."""
        import numpy as np
        import pandas as pd

        frame = pd.DataFrame({"id": [f"{row:04d}" for row in range(len(self.x))]})
        frame["features"] = list(np.array(self.x, dtype="float32"))
        frame["label"] = np.array(self.y, dtype="float64")
        if self.held_out:
            points, size = shuffled(frame, self.split_seed), self.held_out
            return carve(points, {"test": size, "validation": size, "train": None})
        return {name: frame.assign(id=f"{name}-" + frame["id"]) for name in SPLITS}
