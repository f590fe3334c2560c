"""ViT, DeiT, and AST for sounds: one dropout of the block behind both sublayers."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("audio-spectrogram-transformer")
@register("vit")
@dataclass(frozen=True)
class ViT(Family):
    """h = x + dropout(W y) ends both sublayers."""

    dropouts: ClassVar = {"o": "../../dropout", "down": "../../dropout"}
    sums: ClassVar = "../.."


@register("deit")
@dataclass(frozen=True)
class DeiT(ViT):
    """The same, beside a token for distillation."""
