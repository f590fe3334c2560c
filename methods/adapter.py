"""Bottleneck adapters: a small trained network after each sublayer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from methods.architectures import Shape, linear_layers
from methods.contract import Method
from methods.injection import add_hook, add_parameters, added
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

Activation = Literal["gelu", "relu", "tanh"]


@register("adapter")
@dataclass(frozen=True)
class Adapter(Method):
    """Bottleneck adapter, Houlsby et al. 2019, section 2.1: h <- h + U f(D h + b) + c.

    h (..., d) is a sublayer's output before the residual connection; D (m, d) is drawn from
    N(0, 0.02^2), U (d, m), b and c are zero, so that the model starts as it was. The paper draws U
    from a narrow normal distribution too, and trains the layer norms; here they stay frozen.
    """

    paper: ClassVar[str] = "Houlsby et al. 2019, arXiv:1902.00751"

    size: Annotated[int, Field(ge=1)] = 64
    """Width m of the bottleneck."""
    activation: Activation = "gelu"
    after: Annotated[tuple[str, ...], Field(min_length=1)] = ("o", "down")
    """Roles of the layers whose output is adapted; (o, down) is the paper's placement."""

    def not_applicable(self, shape: Shape) -> str | None:
        """The roles that the model lacks."""
        missing = shape.missing(self.after)
        return f"the model has no {', '.join(missing)} layers" if missing else None

    def problems(self, shape: Shape) -> Iterator[str]:
        """A bottleneck that is wider than the layer it follows."""
        widest = min(size[1] for role in self.after for size in shape.sizes[role])
        if self.size > widest:
            yield f"size: {self.size} is above the layer's size; allowed: 1 to {widest}"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Put a bottleneck after every layer of the roles."""
        import torch

        for layer in linear_layers(model, self.after):
            width = layer.out_features
            tensors = {
                "D": torch.empty(self.size, width).normal_(std=0.02, generator=generator),
                "b": torch.zeros(self.size),
                "U": torch.zeros(width, self.size),
                "c": torch.zeros(width),
            }
            add_parameters(layer, "adapter", tensors)
            add_hook(layer, partial(_adapt, activation=self.activation))

    def body_parameters(self, model: nn.Module) -> int:
        """Sum over the adapted layers of 2 m d + m + d."""
        widths = [layer.out_features for layer in linear_layers(model, self.after)]
        return sum(2 * self.size * width + self.size + width for width in widths)


def _adapt(
    layer: nn.Linear, inputs: tuple[Any, ...], output: torch.Tensor, activation: Activation
) -> torch.Tensor:
    from torch.nn import functional

    tensors = added(layer, "adapter")
    inner = functional.linear(output, tensors["D"], tensors["b"])  # (..., m)
    bent: torch.Tensor = getattr(functional, activation)(inner)
    return output + functional.linear(bent, tensors["U"], tensors["c"])
