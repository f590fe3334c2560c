"""DeBERTa, first version: queries, keys and values in one layer, head by head."""

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
