"""Vision encoders that keep queries, keys and values as thirds of one layer."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import even


@register("blip")
@dataclass(frozen=True)
class Blip(Family):
    """The vision encoder's `qkv` alone is fused: the text decoder's layers are apart."""

    fused: ClassVar = {"self_attn.qkv": even("q", "k", "v")}
    words: ClassVar = {"self_attn.projection": "o"}


@register("qwen2_vl")
@dataclass(frozen=True)
class Qwen2VL(Family):
    """The vision encoder's `qkv` alone is fused: the language model's layers are apart."""

    fused: ClassVar = {"attn.qkv": even("q", "k", "v")}
