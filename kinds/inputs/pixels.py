"""Flat images of grey values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.inputs.vectors import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kinds.inputs.duplicates import Comparison


@dataclass(frozen=True)
class Pixels(Vectors):
    """The grey values of an image in [0, 1], row by row."""

    column: ClassVar[str] = "pixels"

    def wrong(self, values: NDArray[Any]) -> str | None:
        """A grey value is from 0 to 1."""
        return None if ((values >= 0) & (values <= 1)).all() else "outside of [0, 1]"

    def compare(self) -> Comparison:
        """By equal pixels, and by their correlation."""
        from kinds.inputs.duplicates import IMAGE_DEFINITION, Comparison, image_matches

        return Comparison(IMAGE_DEFINITION, self.vectors, image_matches)
