"""ModernBERT: thirds in attention, halves in the gated unit, no head of its checkpoint's own."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import even


@register("modernbert")
@register("modernbert-decoder")
@dataclass(frozen=True)
class ModernBert(Family):
    """What the library calls the input of the gated unit goes through the activation: the gate
    elsewhere. `head` comes with the weights of masked modelling, if at all."""

    fused: ClassVar = {"attn.Wqkv": even("q", "k", "v"), "mlp.Wi": even("gate", "up")}
    head: ClassVar = ("classifier",)
    optional: ClassVar = ("head",)
    dropouts: ClassVar = {"o": "../out_drop"}
    sums: ClassVar = "../.."
