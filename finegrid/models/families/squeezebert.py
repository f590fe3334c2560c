"""SqueezeBERT: grouped convolutions over the sequence in place of linear layers."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("squeezebert")
@dataclass(frozen=True)
class SqueezeBert(Family):
    """Kernels of one position: each plays the role of a layer, and none is one."""

    words: ClassVar = {
        "post_attention.conv1d": "o",
        "intermediate.conv1d": "up",
        "output.conv1d": "down",
    }
