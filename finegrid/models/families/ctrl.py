"""CTRL: a feed-forward part without names."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("ctrl")
@dataclass(frozen=True)
class Ctrl(Family):
    """`ffn` is a sequence of layer, activation, layer; positions are a table of sines."""

    words: ClassVar = {"ffn.0": "up", "ffn.2": "down"}
    positions: ClassVar = True
    causal: ClassVar = True
