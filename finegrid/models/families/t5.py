"""T5 and its kin: a sublayer is a module with a dropout of its own."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("longt5")
@register("mt5")
@register("t5")
@register("umt5")
@dataclass(frozen=True)
class T5(Family):
    """h = x + dropout(W y) leaves each sublayer."""

    dropouts: ClassVar = {"o": "../../dropout", "down": "../../dropout"}
    sums: ClassVar = "../.."
