"""Rows of a table of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from kinds.inputs.vectors import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kinds.inputs.duplicates import Comparison


@dataclass(frozen=True)
class Features(Vectors):
    """The numbers of a row, any finite ones."""

    column: ClassVar[str] = "features"

    def wrong(self, values: NDArray[Any]) -> str | None:
        """A feature is any finite number."""
        import numpy as np

        return None if np.isfinite(values).all() else "that are no finite numbers"

    def compare(self) -> Comparison:
        """By equal numbers alone."""
        from kinds.inputs.duplicates import ROW_DEFINITION, Comparison, row_matches

        return Comparison(ROW_DEFINITION, self.vectors, row_matches, finds_near=False)
