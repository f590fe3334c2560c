"""DeBERTa: in its first version queries, keys and values in one layer, head by head."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.families.bert import Bert
from finegrid.models.family import register
from finegrid.models.fused import by_head


@register("deberta")
@dataclass(frozen=True)
class Deberta(Bert):
    """`in_proj` holds q, k, v of a head, then those of the next."""

    fused: ClassVar = {"self.in_proj": by_head("q", "k", "v")}
    words: ClassVar = {"self.pos_proj": "pos_k", "self.pos_q_proj": "pos_q"}


@register("deberta-v2")
@dataclass(frozen=True)
class DebertaV2(Bert):
    """Positions have keys and queries of their own where they do not share those of tokens."""

    words: ClassVar = {"self.pos_key_proj": "pos_k", "self.pos_query_proj": "pos_q"}
