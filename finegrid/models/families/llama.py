"""Llama and the decoders with its blocks: no dropout behind a sublayer, the sum leaves a block."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("eurobert")
@register("gemma")
@register("helium")
@register("llama")
@register("mistral")
@register("olmo")
@register("qwen2")
@register("qwen3")
@register("smollm3")
@dataclass(frozen=True)
class Llama(Family):
    """h = x + W y ends both sublayers."""

    sums: ClassVar = "../.."


@register("gemma2")
@register("gemma3_text")
@register("olmo2")
@register("olmo3")
@dataclass(frozen=True)
class NormalisedOutputs(Llama):
    """These normalise what a sublayer adds."""

    ends: ClassVar = {
        "o": "../../post_attention_layernorm",
        "down": "../../post_feedforward_layernorm",
    }
