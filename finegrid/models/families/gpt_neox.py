"""GPT-NeoX, Bloom, Persimmon: q, k, v of one head after another in one layer."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import by_head


@register("bloom")
@register("gpt_neox")
@register("gpt_neox_japanese")
@register("persimmon")
@dataclass(frozen=True)
class ByHead(Family):
    """Thirds of each head's rows, not of the layer's."""

    fused: ClassVar = {"query_key_value": by_head("q", "k", "v")}
    causal: ClassVar = True
