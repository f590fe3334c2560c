"""MPT: thirds of one layer."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import even


@register("mpt")
@dataclass(frozen=True)
class Mpt(Family):
    """`Wqkv` holds all queries, then all keys, then all values."""

    fused: ClassVar = {"attn.Wqkv": even("q", "k", "v")}
    causal: ClassVar = True
    positions: ClassVar = True
