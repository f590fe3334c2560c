"""GPT-2 and its elders: thirds of one layer that keeps its weight transposed."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import even


@register("imagegpt")
@dataclass(frozen=True)
class Thirds(Family):
    """`c_attn` holds all queries, then all keys, then all values."""

    fused: ClassVar = {"attn.c_attn": even("q", "k", "v")}
    causal: ClassVar = True


@register("gpt2")
@dataclass(frozen=True)
class GPT2(Thirds):
    """h = x + dropout(W y) ends both sublayers."""

    dropouts: ClassVar = {"o": "../resid_dropout", "down": "../dropout"}
    sums: ClassVar = "../.."


@register("openai-gpt")
@dataclass(frozen=True)
class GPT(Thirds):
    """The first GPT normalises sums: the second norm of a block ends it."""

    dropouts: ClassVar = {"o": "../resid_dropout", "down": "../dropout"}
    sums: ClassVar = "../../ln_2"
