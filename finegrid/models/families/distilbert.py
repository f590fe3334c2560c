"""DistilBERT: attention without a dropout behind it."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("distilbert")
@dataclass(frozen=True)
class DistilBert(Family):
    """The feed-forward part alone drops outputs."""

    dropouts: ClassVar = {"down": "../dropout"}
    sums: ClassVar = "../../output_layer_norm"
