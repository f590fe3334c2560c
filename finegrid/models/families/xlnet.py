"""XLNet: attention over two streams, its projections kept as (hidden, heads, head size)."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("xlnet")
@dataclass(frozen=True)
class XLNet(Family):
    """No role names the projections, which no layer holds; `all` is refused."""

    classifier_reason: ClassVar = "its classifier reads the last position, which may be padding"
    attention_reason: ClassVar = "its attention over two streams has no projections in layers"
