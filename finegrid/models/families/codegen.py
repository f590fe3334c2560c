"""CodeGen: four blocks of rows, made for as many devices, each with queries, values and keys."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import in_blocks


@register("codegen")
@dataclass(frozen=True)
class CodeGen(Family):
    """The values come before the keys."""

    fused: ClassVar = {"attn.qkv_proj": in_blocks(4, "q", "v", "k")}
    causal: ClassVar = True
