"""LoRA: a trained low-rank update beside a frozen weight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from methods.architectures import Shape, linear_layers
from methods.contract import Method
from methods.injection import add_hook, add_parameters, added, remove
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("lora")
@dataclass(frozen=True)
class LoRA(Method):
    """Low-rank adaptation, Hu et al. 2021, equation 3: h = W x + (alpha / r) B A x.

    W (out, in) is frozen; A (r, in) is drawn from a Kaiming uniform distribution as in the
    authors' code, B (out, r) is zero, so that training starts from the pretrained function.
    """

    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2106.09685"
    mergeable: ClassVar[bool] = True

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """Numerator of the scale alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability with which an input feature of A is dropped in training."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("q", "v")
    """Roles of the layers that get an update."""

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank

    def not_applicable(self, shape: Shape) -> str | None:
        """The targeted roles that the model lacks."""
        missing = shape.missing(self.targets)
        return f"the model has no {', '.join(missing)} layers" if missing else None

    def problems(self, shape: Shape) -> Iterator[str]:
        """A rank above the smallest dimension of a targeted layer."""
        largest = shape.largest_rank(self.targets)
        if self.rank > largest:
            yield f"rank: {self.rank} is above the layer's size; allowed: 1 to {largest}"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Put A and B beside every targeted layer."""
        import torch
        from torch import nn

        for layer in linear_layers(model, self.targets):
            down = torch.empty(self.rank, layer.in_features)
            nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
            up = torch.zeros(layer.out_features, self.rank)
            add_parameters(layer, "lora", {"A": down, "B": up})
            add_hook(layer, partial(_add_update, scale=self.scale, dropout=self.dropout))

    def body_parameters(self, model: nn.Module) -> int:
        """Sum over the targeted layers of r (in + out)."""
        layers = linear_layers(model, self.targets)
        return sum(self.rank * (layer.in_features + layer.out_features) for layer in layers)

    def merge(self, model: nn.Module) -> None:
        """W <- W + (alpha / r) B A, and A and B are gone."""
        import torch

        with torch.no_grad():
            for layer in linear_layers(model, self.targets):
                factors = added(layer, "lora")
                layer.weight += self.scale * (factors["B"] @ factors["A"])
                remove(layer, "lora")


def _add_update(
    layer: nn.Linear, inputs: tuple[Any, ...], output: torch.Tensor, scale: float, dropout: float
) -> torch.Tensor:
    from torch.nn import functional

    x = functional.dropout(inputs[0], dropout, layer.training)  # (..., in)
    factors = added(layer, "lora")
    return output + scale * functional.linear(functional.linear(x, factors["A"]), factors["B"])
