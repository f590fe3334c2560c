"""Longformer and LED: projections of their own for the tokens that attend everywhere."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register

_GLOBAL = {"query_global": "q_global", "key_global": "k_global", "value_global": "v_global"}


@register("led")
@register("longformer")
@dataclass(frozen=True)
class Longformer(Family):
    """The global projections are roles beside q, k, v: other inputs go through them."""

    words: ClassVar = _GLOBAL
