"""BERT and the encoders with its blocks: each sublayer's dropout and norm stand beside it."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("bert")
@register("camembert")
@register("data2vec-text")
@register("electra")
@register("ernie")
@register("layoutlm")
@register("layoutlmv3")
@register("rembert")
@register("roberta")
@register("roformer")
@register("xlm-roberta")
@dataclass(frozen=True)
class Bert(Family):
    """h = LayerNorm(x + dropout(W y)) ends both sublayers."""

    dropouts: ClassVar = {"o": "../dropout", "down": "../dropout"}
    sums: ClassVar = "../LayerNorm"


@register("mpnet")
@dataclass(frozen=True)
class MPNet(Family):
    """MPNet's attention has a dropout beside `o` too, but that one is for its weights."""

    dropouts: ClassVar = {"o": "../../dropout", "down": "../dropout"}
    sums: ClassVar = "../LayerNorm"
