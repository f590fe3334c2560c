"""wav2vec 2.0 and the encoders of sounds with its blocks."""

from dataclasses import dataclass
from typing import Any, ClassVar

from finegrid.models.families.bert import Bert
from finegrid.models.family import Family, Place, register


def _sum(configuration: Any) -> str:
    """The block itself where it normalises its inputs, else the norm that ends it."""
    return "../.." if configuration.do_stable_layer_norm else "../../final_layer_norm"


@register("hubert")
@register("unispeech")
@register("unispeech-sat")
@register("wav2vec2")
@dataclass(frozen=True)
class Wav2Vec2(Family):
    """h = LayerNorm(x + dropout(W y)) ends both sublayers, or x + dropout(W y) does."""

    dropouts: ClassVar = {"o": "../../dropout", "down": "../output_dropout"}
    sums: ClassVar[Place | None] = staticmethod(_sum)


@register("wavlm")
@dataclass(frozen=True)
class WavLM(Wav2Vec2):
    """Its attention is torch's function, which is given the weights: no layer of it is called."""

    weights: ClassVar = (
        *("attention.q_proj", "attention.k_proj", "attention.v_proj"),
        "attention.out_proj",
    )


@register("data2vec-audio")
@dataclass(frozen=True)
class Data2VecAudio(Wav2Vec2):
    """The first convolutions are always normalised frame by frame, and blocks at their ends."""

    masked: ClassVar = True
    sums: ClassVar = "../../final_layer_norm"
    padding_reason: ClassVar = "the convolutions of its positions run over it"


@register("sew")
@dataclass(frozen=True)
class SEW(Wav2Vec2):
    """Blocks see the mean of two vectors, and are normalised at their ends."""

    sums: ClassVar = "../../final_layer_norm"
    padding_reason: ClassVar = "it has a part in the means of vectors at the end"


@register("sew-d")
@dataclass(frozen=True)
class SEWD(Bert):
    """The same before blocks of DeBERTa."""

    padding_reason: ClassVar = "it has a part in the means of vectors at the end"
