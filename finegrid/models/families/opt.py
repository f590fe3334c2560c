"""OPT: norms before the sublayers, but behind them in the model of 350 million parameters."""

from dataclasses import dataclass
from typing import Any, ClassVar

from finegrid.models.family import Family, register


def _sums(configuration: Any) -> str:
    return ".." if configuration.do_layer_norm_before else "../final_layer_norm"


@register("opt")
@dataclass(frozen=True)
class OPT(Family):
    """h = x + dropout(W y) ends both sublayers, or the norm of this sum."""

    dropouts: ClassVar = {"o": "../../dropout", "down": "../dropout"}
    sums: ClassVar = staticmethod(_sums)
