"""Mamba and hybrids: state spaces whose projections are none of attention."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register

_NAMES = ("in_proj", "x_proj", "dt_proj", "out_proj")


@register("bamba")
@register("falcon_mamba")
@register("jamba")
@register("mamba")
@register("mamba2")
@dataclass(frozen=True)
class Mamba(Family):
    """`in_proj` gives the state's input and its gate (in Mamba 2 B, C and the step as well),
    `x_proj` the step, B and C: roles of their own names, and no q, k, v."""

    words: ClassVar = {f"{at}.{name}": name for at in ("mixer", "mamba") for name in _NAMES}
    causal: ClassVar = True
