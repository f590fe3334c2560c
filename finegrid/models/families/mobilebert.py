"""MobileBERT: bottlenecks around narrow blocks, with several feed-forward parts each."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("mobilebert")
@dataclass(frozen=True)
class MobileBert(Family):
    """`bottleneck.attention` stands before the attention, and is no projection of it."""

    words: ClassVar = {
        "bottleneck.input.dense": "narrow",
        "bottleneck.attention.dense": "narrow",
        "output.bottleneck.dense": "widen",
    }
