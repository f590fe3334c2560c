"""RecurrentGemma: blocks of a gated recurrence beside blocks of attention."""

from dataclasses import dataclass
from typing import ClassVar

from finegrid.models.family import Family, register


@register("recurrent_gemma")
@dataclass(frozen=True)
class RecurrentGemma(Family):
    """The recurrence has an input, a gate and an output; the gates inside it stay unnamed."""

    words: ClassVar = {
        "temporal_block.linear_x": "recurrent_in",
        "temporal_block.linear_y": "recurrent_gate",
        "temporal_block.linear_out": "recurrent_out",
    }
