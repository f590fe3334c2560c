"""Families: corrections of what discovery cannot see of an architecture.

A family is one small file of `finegrid/models/families/`, registered under the model types of the
library that it holds for. Installed packages add theirs by the entry-point group
`finegrid.families`. Nothing here loads torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from finegrid.models.fused import Fused
from finegrid.records.registry import Registry

Place = str | Callable[[Any], str]
"""A path from a layer, or what tells it of a configuration."""


def place_of(place: Place, configuration: Any) -> str:
    """The path that a family names, for a model of the configuration."""
    return place if isinstance(place, str) else place(configuration)


@dataclass(frozen=True)
class Family:
    """What a model type's layers are where their names do not say it.

    Layers are named by the end of their path, `mixer.in_proj`; of several ends that fit, the
    longest counts.
    """

    words: ClassVar[Mapping[str, str]] = {}
    """End of a path -> role, before any word of the vocabulary."""
    fused: ClassVar[Mapping[str, Fused]] = {}
    """End of a path -> the layout of a layer that holds several roles."""
    experts: ClassVar[Mapping[str, Fused | str]] = {}
    """End of a path of a stacked weight -> its role, or the layout of its roles, where the
    library does not say it."""
    apart: ClassVar[tuple[str, ...]] = ()
    """Ends of the paths of lists whose elements are no blocks."""
    head: ClassVar[tuple[str, ...] | None] = None
    """Paths of the head's modules, where they are not the children beside the body."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Paths of modules that a checkpoint may lack, besides the body's pooler."""
    attention_reason: ClassVar[str | None] = None
    """Why no prefix works, though the attention goes through the library's function."""
    classifier_reason: ClassVar[str | None] = None
    """Why the library's own classifier does not read the text alone, whatever pads it."""
    padding_reason: ClassVar[str | None] = None
    """Why the states of a text or of a sound depend on the padding behind it, whatever the mask
    says."""
    masked: ClassVar[bool] = False
    """Whether a model of sounds reads a mask, where its configuration does not say it."""
    weights: ClassVar[tuple[str, ...]] = ()
    """Ends of the paths of layers whose weights are read, and which are never called."""
    aside: ClassVar[tuple[str, ...]] = ()
    """First names, from the body on, of what a checkpoint holds and a classifier has no part of."""
    causal: ClassVar[bool | None] = None
    """Whether tokens see those before them alone, where the attention modules do not say it."""
    positions: ClassVar[bool | None] = None
    """Whether the configuration's length limits a sequence, where no module shows it."""
    dropouts: ClassVar[Mapping[str, Place]] = {}
    """Role -> where the dropout of its layers' outputs is, from the layer: `../dropout`."""
    ends: ClassVar[Mapping[str, str]] = {}
    """Role -> the norm of its layers' outputs before their residual is added, from the layer."""
    sums: ClassVar[Place | None] = None
    """Where the feed-forward part's output plus its residual comes out, from its layer `down`: the
    norm behind them, or the block. None: not known, and so are the two above."""


FAMILIES: Registry[Family] = Registry(
    "family", Family, "finegrid.models.families", group="finegrid.families"
)
register = FAMILIES.register


def family_of(model_type: str) -> Family:
    """The family that corrects a model type; one without corrections where there is none."""
    return FAMILIES.get(model_type)() if model_type in set(FAMILIES) else Family()


def family_module(configuration: Mapping[str, Any]) -> str:
    """The module of the family of a configuration's model type, which decides its anatomy."""
    return type(family_of(str(configuration.get("model_type")))).__module__
