"""BART and the encoder-decoders with its blocks, which keep dropout as a number of the block."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("bart")
@register("marian")
@dataclass(frozen=True)
class Bart(Family):
    """h = LayerNorm(x + dropout(W y)) ends each sublayer."""

    dropouts: ClassVar = {"o": "../../dropout", "down": "../dropout"}
    sums: ClassVar = "../final_layer_norm"


@register("blenderbot")
@register("m2m_100")
@register("mbart")
@register("pegasus")
@register("speech_to_text")
@dataclass(frozen=True)
class PreNorm(Bart):
    """These normalise inputs: the sum leaves the block."""

    sums: ClassVar = ".."


@register("whisper")
@dataclass(frozen=True)
class Whisper(PreNorm):
    """A classifier of recordings is made of the encoder alone."""

    aside: ClassVar = ("decoder",)
