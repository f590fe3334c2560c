"""What a role means in an architecture: the one place that knows the names of a model's layers.

A role is the part that a linear layer plays: q, k, v, o are the projections of attention, up and
down those of the feed-forward part, `linear` a layer of a plain stack. Nothing here loads torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from records.registry import UnknownNameError, unknown_name

if TYPE_CHECKING:
    from torch import nn

Sizes = dict[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class Architecture:
    """Paths of an architecture's layers, as patterns over `named_modules`."""

    roles: Mapping[str, str]
    """Role -> pattern of the paths of its linear layers, in every block."""
    head: tuple[str, ...]
    """Names of the modules of the task's head, children of the model."""
    attention: str | None = None
    """Pattern of the modules that call the attention function."""
    hidden: str = "hidden_size"
    intermediate: str = "intermediate_size"
    layers: str = "num_hidden_layers"

    def sizes(self, configuration: Mapping[str, Any]) -> Sizes:
        """Role -> (in, out) features of each of its layers, from a configuration."""
        hidden, inner = configuration[self.hidden], configuration[self.intermediate]
        ends = {"up": (hidden, inner), "down": (inner, hidden)}
        return {
            role: (ends.get(role, (hidden, hidden)),) * configuration[self.layers]
            for role in self.roles
        }


class LinearStack(Architecture):
    """A plain stack of linear layers: one role, no attention."""

    def sizes(self, configuration: Mapping[str, Any]) -> Sizes:
        """The layers below the head, as (in, out) features."""
        widths = configuration["layers"]
        return {"linear": tuple(pairwise(widths[:-1]))}


_BERT_LAYER = r"(?:.+\.)?encoder\.layer\.\d+\."
_BERT = Architecture(
    roles={
        "q": _BERT_LAYER + r"attention\.self\.query",
        "k": _BERT_LAYER + r"attention\.self\.key",
        "v": _BERT_LAYER + r"attention\.self\.value",
        "o": _BERT_LAYER + r"attention\.output\.dense",
        "up": _BERT_LAYER + r"intermediate\.dense",
        "down": _BERT_LAYER + r"output\.dense",
    },
    attention=_BERT_LAYER + r"attention\.self",
    head=("classifier",),
)
ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": _BERT,
    "roberta": _BERT,
    "linear-stack": LinearStack(roles={"linear": r"body\.\d+"}, head=("head",)),
}


@dataclass(frozen=True)
class Shape:
    """What a method needs to know of a model before it is loaded."""

    model_type: str
    sizes: Sizes
    has_attention: bool

    def missing(self, roles: tuple[str, ...]) -> list[str]:
        """Those of the roles that the architecture does not have."""
        return [role for role in roles if role not in self.sizes]

    def largest_rank(self, roles: tuple[str, ...]) -> int:
        """The rank that the smallest layer among the roles can have."""
        return min(min(size) for role in roles for size in self.sizes[role])


def describe(configuration: Mapping[str, Any]) -> Shape:
    """The shape of a model from its configuration.

    Raises UnknownNameError for an architecture that is not known here, KeyError for a
    configuration that lacks a size.
    """
    model_type = str(configuration.get("model_type"))
    if model_type not in ARCHITECTURES:
        raise UnknownNameError(unknown_name("architecture", model_type, list(ARCHITECTURES)))
    architecture = ARCHITECTURES[model_type]
    return Shape(
        model_type=model_type,
        sizes=architecture.sizes(configuration),
        has_attention=architecture.attention is not None,
    )


def architecture_of(model: nn.Module) -> Architecture:
    """The architecture of a live model, by its configuration's model type."""
    config: Any = model.config
    return ARCHITECTURES[config.model_type]


def modules_matching(model: nn.Module, pattern: str) -> Iterator[nn.Module]:
    """The modules whose whole path matches the pattern, in the model's order."""
    compiled = re.compile(pattern)
    for path, module in model.named_modules():
        if compiled.fullmatch(path):
            yield module


def linear_layers(model: nn.Module, roles: tuple[str, ...]) -> Iterator[nn.Linear]:
    """The linear layers that play one of the roles.

    Raises ValueError where a role has no layer in this model: an injection that silently finds
    nothing would train the head alone.
    """
    architecture = architecture_of(model)
    for role in roles:
        pattern = architecture.roles.get(role)
        found = list(modules_matching(model, pattern)) if pattern else []
        if not found:
            raise ValueError(f"the model has no layer of role {role!r}")
        yield from found  # type: ignore[misc]  # the pattern of a role matches linear layers only
