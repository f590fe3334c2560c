"""GPT-NeoX, Bloom, Persimmon: q, k, v of one head after another in one layer."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register
from finegrid.models.fused import by_head


@register("gpt_neox_japanese")
@register("persimmon")
@dataclass(frozen=True)
class ByHead(Family):
    """Thirds of each head's rows, not of the layer's."""

    fused: ClassVar = {"query_key_value": by_head("q", "k", "v")}
    causal: ClassVar = True


@register("gpt_neox")
@dataclass(frozen=True)
class GPTNeoX(ByHead):
    """h = x + dropout(W y) + dropout(V z) leaves a block, whose parts may read the same x."""

    dropouts: ClassVar = {"o": "../../post_attention_dropout", "down": "../../post_mlp_dropout"}
    sums: ClassVar = "../.."


@register("bloom")
@dataclass(frozen=True)
class Bloom(ByHead):
    """h = x + dropout(W y) leaves each sublayer, which is given its residual."""

    dropouts: ClassVar = {"o": "../hidden_dropout", "down": "../hidden_dropout"}
    sums: ClassVar = ".."
