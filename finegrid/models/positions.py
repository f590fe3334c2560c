"""How many positions a model has for the vectors of a sequence, by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finegrid.models.architectures import ARCHITECTURES


@dataclass(frozen=True)
class _Positions:
    """Where an architecture's configuration says how many positions there are."""

    default: int
    """Of a configuration that says nothing of them."""
    keys: tuple[str, ...] = ("max_position_embeddings",)
    """Names of their number; the first that is there counts."""
    absolute: str | None = None
    """Name of the switch of absolute positions, on by default; without these there is no limit."""


_POSITIONS: Mapping[str, _Positions] = {
    "bart": _Positions(1024),
    "bert": _Positions(512),
    "deberta-v2": _Positions(512, absolute="position_biased_input"),
    "distilbert": _Positions(512),
    "gemma3_text": _Positions(131_072),
    "gpt2": _Positions(1024, ("n_positions", "max_position_embeddings")),
    "llama": _Positions(2048),
    "mistral": _Positions(131_072),
    "modernbert": _Positions(8192),
    "qwen2": _Positions(32_768),
    "qwen3": _Positions(32_768),
    "roberta": _Positions(512),
    "xlm-roberta": _Positions(512),
}
"""Those that have a limit: T5's positions are relative to each other."""


def positions(configuration: Mapping[str, Any], *, whole: bool = True) -> int | None:
    """How many vectors an embedded sequence may have, those of a prompt among them.

    None where there is no limit. `whole` says that what the configuration does not name has its
    default; otherwise a number that it does not name is not known, and None as well.
    """
    model_type = str(configuration.get("model_type"))
    known = _POSITIONS.get(model_type)
    if known is None or (known.absolute and not configuration.get(known.absolute, True)):
        return None
    named = (configuration[key] for key in known.keys if configuration.get(key) is not None)
    count = next(named, known.default if whole else None)
    if not isinstance(count, int):
        return None
    return count - ARCHITECTURES[model_type].reserved_positions
