"""Qwen3-Next: attention with a gate on its output, beside a linear attention."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import by_head


@register("qwen3_next")
@dataclass(frozen=True)
class Qwen3Next(Family):
    """`q_proj` holds the query of a head, then the gate of the head's output. What goes into the
    linear attention stays unnamed: its layout has four parts and a prefix no place."""

    fused: ClassVar = {"self_attn.q_proj": by_head("q", "o_gate")}
    words: ClassVar = {"linear_attn.out_proj": "linear_out"}
