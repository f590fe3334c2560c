"""What a method trained, in the words of the peft library: for an adapter that it loads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from finegrid.models.head import head_parameters
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
    saved: tuple[str, ...] = ()
    """Paths of modules of the base that are trained whole: peft's `modules_to_save`."""


def by_module(model: nn.Module, roles: tuple[str, ...]) -> dict[str, list[Layer]]:
    """Path -> the layers of those roles that the module holds: several where it is fused."""
    paths = {id(module): path for path, module in model.named_modules()}
    found: dict[str, list[Layer]] = {}
    for layer in linear_layers(model, roles):
        found.setdefault(paths[id(layer.module)], []).append(layer)
    return found


def low_rank(
    model: nn.Module,
    roles: tuple[str, ...],
    factors: Callable[[Layer], tuple[torch.Tensor, torch.Tensor]],
    config: Mapping[str, JsonValue],
    *,
    power: float = 1,
) -> PeftForm:
    """LoRA of the layers of those roles: `factors` gives A (r, in) and B (out, r) of each.

    The configuration has `r` and `lora_alpha`, whose scale is alpha / r^power. Each module has one
    pair of factors: n roles of a fused one share a rank of n r.
    """
    import torch

    found, tensors = by_module(model, roles), {}
    for path, layers in found.items():
        pairs = [(layer, *factors(layer)) for layer in layers]
        down = torch.cat([a for _, a, _ in pairs])  # (n r, in)
        up = torch.cat([layer.widen(b.T) for layer, _, b in pairs]).T  # (width, n r)
        tensors[f"{INSIDE}{path}.lora_A.{ADAPTER}.weight"] = down
        tensors[f"{INSIDE}{path}.lora_B.{ADAPTER}.weight"] = up
    shared = {re.escape(path): len(layers) for path, layers in found.items() if layers[1:]}
    rank, alpha = cast("int", config["r"]), cast("float", config["lora_alpha"])
    places: dict[str, JsonValue] = {
        "peft_type": "LORA",
        "target_modules": only(found),
        "fan_in_fan_out": any(one.transposed for layers in found.values() for one in layers),
        "rank_pattern": {path: n * rank for path, n in shared.items()},
        "alpha_pattern": {path: alpha * n**power for path, n in shared.items()},
    }
    return PeftForm({**config, **places}, tensors)


def beside(form: PeftForm, model: nn.Module) -> PeftForm:
    """The form with the modules of the base that are trained in this model, the head's aside.

    Raises NoPeftFormError where a part of a module is trained, and where modules share what is
    trained under a type that keeps no copies in common.
    """
    trained = dict(_trained_modules(model))
    counts = Counter(id(own) for one in trained.values() for own in one.parameters(recurse=False))
    config = dict(form.config)
    if max(counts.values(), default=0) > 1:
        if (name := config["peft_type"]) != "LORA":
            raise NoPeftFormError(f"peft's {name} does not tie what is trained twice")
        config["ensure_weight_tying"] = True
    return replace(form, config=config, saved=tuple(trained))


def _trained_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Path -> module of the base, of those that hold a trained tensor that is not the head's."""
    from torch import nn

    head = set(map(id, head_parameters(model)))
    for path, module in model.named_modules():
        own = [one for one in module.parameters(recurse=False) if id(one) not in head]
        trained = [one for one in own if one.requires_grad]
        if not trained or isinstance(module, nn.ParameterDict):  # what methods add
            continue
        if len(trained) < len(own):
            raise NoPeftFormError(f"peft trains all of {path} or none of it, the run a part")
        yield path, module


def only(paths: Iterable[str]) -> str:
    """The pattern of peft that has these modules for its targets, and no others."""
    return "|".join(map(re.escape, paths))
