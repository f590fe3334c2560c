"""The plain stack of linear layers, which is finegrid's own."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("linear-stack")
@dataclass(frozen=True)
class LinearStack(Family):
    """Each layer of the body is a block, with one role."""

    words: ClassVar = {"body.*": "linear"}
    head: ClassVar = ("head",)
