"""GPT-BigCode (StarCoder): one head of keys and values for all queries, or one each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from finegrid.models.anatomy import Rows
from finegrid.models.family import Family, register
from finegrid.models.fused import by_head, head_size, repeated


def _attention(configuration: Any, outputs: int) -> Mapping[str, Rows]:
    if not configuration.multi_query:
        return by_head("q", "k", "v")(configuration, outputs)
    size = head_size(configuration)
    return repeated(outputs, 1, {"q": outputs - 2 * size, "k": size, "v": size})


@register("gpt_bigcode")
@dataclass(frozen=True)
class GPTBigCode(Family):
    """`c_attn` holds all queries, one key, one value; or q, k, v head by head."""

    fused: ClassVar = {"attn.c_attn": _attention}
    dropouts: ClassVar = {"o": "../resid_dropout", "down": "../dropout"}
    sums: ClassVar = "../.."
