"""ALBERT: one block for all layers, its feed-forward part without a dropout behind it."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("albert")
@dataclass(frozen=True)
class Albert(Family):
    """h = LayerNorm(x + dropout(W y)) ends attention, LayerNorm(x + W y) the block."""

    dropouts: ClassVar = {"o": "../output_dropout"}
    sums: ClassVar = "../full_layer_layer_norm"
