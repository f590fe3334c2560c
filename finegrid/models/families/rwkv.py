"""RWKV: a recurrence with words of attention."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("rwkv")
@dataclass(frozen=True)
class Rwkv(Family):
    """The feed-forward part calls its layers key and value; a receptance gates what they give."""

    words: ClassVar = {
        "attention.receptance": "receptance",
        "feed_forward.key": "up",
        "feed_forward.value": "down",
        "feed_forward.receptance": "receptance",
    }
    causal: ClassVar = True
