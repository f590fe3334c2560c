"""What a method trained, in the words of the peft library: for an adapter that it loads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from finegrid.models.layers import Layer, linear_layers

if TYPE_CHECKING:
    import torch
    from torch import nn

INSIDE = "base_model.model."
"""How peft begins the names of the tensors of a model that it has wrapped."""
ADAPTER = "default"
"""The name of an adapter, which peft leaves out of a file's names."""


class NoPeftFormError(ValueError):
    """A method, or a way to use it, that peft has not: one line with the reason."""


@dataclass(frozen=True)
class PeftForm:
    """A configuration of peft, and the values of what it adds to the plain model."""

    config: Mapping[str, JsonValue]
    """Keys of the type's configuration, and `peft_type`."""
    tensors: Mapping[str, torch.Tensor]
    """By the names that they have in peft's model, the adapter's included."""


def by_module(model: nn.Module, roles: tuple[str, ...]) -> dict[str, list[Layer]]:
    """Path -> the layers of those roles that the module holds: several where it is fused."""
    paths = {id(module): path for path, module in model.named_modules()}
    found: dict[str, list[Layer]] = {}
    for layer in linear_layers(model, roles):
        found.setdefault(paths[id(layer.module)], []).append(layer)
    return found


def only(paths: Iterable[str]) -> str:
    """The pattern of peft that has these modules for its targets, and no others."""
    return "|".join(map(re.escape, paths))
