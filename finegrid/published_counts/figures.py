"""A printed figure against an exact count: rounded, cut, or wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Literal

Verdict = Literal["match", "truncated", "mismatch", "not built"]
_ORDER: tuple[Verdict, ...] = ("match", "truncated", "mismatch")
_SCALES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_FIGURE = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)\s?([KMB%]?)(?![\w%])", re.IGNORECASE)
_ASIDE = re.compile(r"\([^)]*\)")


@dataclass(frozen=True)
class Figure:
    """A number as it was printed, with its unit: none, K, M, B or %."""

    printed: str
    unit: str

    def judge(self, count: int, whole: int) -> tuple[Verdict, str | None]:
        """Whether the count, of the whole for a percentage, gives the printed digits; why not."""
        shown = Decimal(self.printed.replace(",", ""))
        exact = Decimal(100 * count) / whole if self.unit == "%" else self._scaled(count)
        rounded = exact.quantize(shown, ROUND_HALF_UP)
        found = f"{count:,}" + (f" of {whole:,}" if self.unit == "%" else "")
        found += f" is {rounded}{self.unit}" if self.unit else ""
        if rounded == shown:
            return "match", None
        if exact.quantize(shown, ROUND_DOWN) == shown:
            return "truncated", f"{found} rounded, {self.printed}{self.unit} is cut"
        return "mismatch", f"{found}, not {self.printed}{self.unit}"

    def _scaled(self, count: int) -> Decimal:
        return Decimal(count) / _SCALES[self.unit]


def figures(text: str) -> Iterator[Figure]:
    """The figures of a printed text; what stands in brackets is an aside."""
    for number, unit in _FIGURE.findall(_ASIDE.sub(" ", text)):
        yield Figure(number, unit.upper())


def judge(text: str | None, count: int, whole: int) -> tuple[Verdict, str | None]:
    """The worst verdict on the figures of a text, and the reason.

    A text without a figure contradicts nothing: it matches, and the reason says so.
    """
    found = [figure.judge(count, whole) for figure in figures(text or "")]
    if not found:
        return "match", f"no count is printed: {text}" if text else "no count is printed"
    return max(found, key=lambda one: _ORDER.index(one[0]))
