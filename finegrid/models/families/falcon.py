"""Falcon: three layouts of one layer, by the generation of the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from finegrid.models.anatomy import Rows
from finegrid.models.family import Family, register
from finegrid.models.fused import by_head, head_size, heads, repeated


def _attention(configuration: Any, outputs: int) -> Mapping[str, Rows]:
    size, count = head_size(configuration), heads(configuration)
    if configuration.new_decoder_architecture:
        groups = configuration.num_kv_heads
        return repeated(outputs, groups, {"q": size * (count // groups), "k": size, "v": size})
    if configuration.multi_query:
        return repeated(outputs, 1, {"q": size * count, "k": size, "v": size})
    return by_head("q", "k", "v")(configuration, outputs)


def _attention_dropout(configuration: Any) -> str:
    """The probability that the block reads for what attention adds."""
    shared = configuration.new_decoder_architecture or configuration.parallel_attn
    return f"../../config.{'hidden' if shared else 'attention'}_dropout"


@register("falcon")
@dataclass(frozen=True)
class Falcon(Family):
    """New decoders keep groups (queries, key, value); 7B all queries, one key, one value; the
    first ones q, k, v head by head.

    The parts of a block stand one after the other in the first generation. In later ones they read
    the same x and share the dropout of their sum: with adapters each has a mask of its own.
    """

    fused: ClassVar = {"query_key_value": _attention}
    causal: ClassVar = True
    dropouts: ClassVar = {"o": _attention_dropout, "down": "../../config.hidden_dropout"}
    sums: ClassVar = "../.."
