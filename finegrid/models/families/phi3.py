"""Phi-3 and GLM: gate and up in one layer, and queries, keys and values of unequal size."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import even, uneven


@register("glm4")
@dataclass(frozen=True)
class GateUp(Family):
    """`gate_up_proj` holds the gate, then up; `qkv_proj` all queries, then the fewer keys and
    values."""

    fused: ClassVar = {"mlp.gate_up_proj": even("gate", "up"), "self_attn.qkv_proj": uneven}


@register("glm")
@dataclass(frozen=True)
class GLM(GateUp):
    """h = x + W y ends both sublayers."""

    sums: ClassVar = "../.."


@register("phi3")
@dataclass(frozen=True)
class Phi3(GateUp):
    """h = x + dropout(W y) ends both sublayers."""

    dropouts: ClassVar = {"o": "../../resid_attn_dropout", "down": "../../resid_mlp_dropout"}
    sums: ClassVar = "../.."
