"""Encoders whose mask does not keep padding out: the states of a text depend on its batch."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.families.bert import Bert
from finegrid.models.family import Family, register


@register("nystromformer")
@dataclass(frozen=True)
class Nystromformer(Bert):
    """Landmarks are means over segments of the padded sequence, and a convolution runs over it."""

    padding_reason: ClassVar = "its landmarks are means that it has a part in"


@register("yoso")
@dataclass(frozen=True)
class Yoso(Family):
    """Hashed attention, and a convolution over the values."""

    padding_reason: ClassVar = "its attention hashes it, and a convolution runs over it"


@register("canine")
@dataclass(frozen=True)
class Canine(Family):
    """Characters are taken together by a convolution with strides."""

    padding_reason: ClassVar = "its convolutions run over it"
