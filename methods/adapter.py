"""Bottleneck adapters: a small trained network in each block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from methods.architectures import Shape
from methods.contract import Method, above
from methods.injection import add_parameters, added, change_input, change_output
from methods.layers import Layer, linear_layers
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

Activation = Literal["gelu", "relu", "tanh"]
Placement = Literal["houlsby", "pfeiffer", "attention", "parallel", "linear"]
_AFTER: Mapping[Placement, tuple[str, ...]] = {
    "houlsby": ("o", "down"),
    "pfeiffer": ("down",),
    "attention": ("o",),
    "parallel": ("down",),
    "linear": ("linear",),
}
_INPUT = "finegrid_adapter_input"


@register("adapter")
@dataclass(frozen=True)
class Adapter(Method):
    """Bottleneck adapter, Houlsby et al. 2019, section 2.1: h <- h + U f(D x + b) + c.

    h (..., d) is a sublayer's output before the residual connection, and x is h itself.
    Placements: `houlsby` after attention and feed-forward part, `pfeiffer` after the feed-forward
    part (Pfeiffer et al. 2021, arXiv:2005.00247), `attention` after attention, `linear` after each
    layer of a plain stack, and `parallel`, where x is the input of the feed-forward part (He et
    al. 2022, arXiv:2110.04366, table 1). D (m, d) is drawn from N(0, 0.02^2), U (d, m), b and c
    are zero, so that the model starts as it was. With `layer_norm`, x is normalised on its way into
    D, as by Lin et al. 2020 (arXiv:2004.03829), with a gain of one and a shift of zero
    to start from. The model's own layer norms stay frozen; Houlsby et al. train them too.
    """

    paper: ClassVar[str] = "Houlsby et al. 2019, arXiv:1902.00751"

    size: Annotated[int, Field(ge=1)] = 64
    """Width m of the bottleneck."""
    activation: Activation = "gelu"
    placement: Placement = "houlsby"
    bias: bool = True
    """Whether b and c exist."""
    layer_norm: bool = False
    """Whether each adapter has a layer norm of its own, before D."""

    @property
    def after(self) -> tuple[str, ...]:
        """Roles of the layers whose output is adapted."""
        return _AFTER[self.placement]

    def not_applicable(self, shape: Shape) -> str | None:
        """The roles that the model lacks."""
        return shape.lack(self.after)

    def problems(self, shape: Shape) -> Iterator[str]:
        """A bottleneck that is wider than the layer it follows."""
        yield from above("size", self.size, shape.fewest_outputs(self.after))

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Put a bottleneck at every place."""
        layers = list(linear_layers(model, self.after))
        for layer in layers:
            tensors = self._tensors(layer.out_features, generator)
            add_parameters(layer.module, "adapter", tensors)
            change_output(layer.module, "adapter", self._adapt)
        if self.placement == "parallel":
            ups = linear_layers(model, ("up",))
            for up, layer in zip(ups, layers, strict=True):
                change_input(up.module, "adapter", partial(_keep_input, reader=layer))

    def body_parameters(self, model: nn.Module) -> int:
        """Sum over the adapted layers of 2 m d, m + d for biases, and 2 d for a layer norm."""
        widths = [layer.out_features for layer in linear_layers(model, self.after)]
        biases = self.size * len(widths) + sum(widths) if self.bias else 0
        norms = 2 * sum(widths) if self.layer_norm else 0
        return sum(2 * self.size * width for width in widths) + biases + norms

    def _tensors(self, width: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        import torch

        tensors = {
            "D": torch.empty(self.size, width).normal_(std=0.02, generator=generator),
            "U": torch.zeros(width, self.size),
        }
        if self.bias:
            tensors |= {"b": torch.zeros(self.size), "c": torch.zeros(width)}
        if self.layer_norm:
            tensors |= {"gain": torch.ones(width), "shift": torch.zeros(width)}
        return tensors

    def _adapt(
        self, module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor
    ) -> torch.Tensor:
        from torch.nn import functional

        tensors = added(module, "adapter")
        bias, shift = (tensors[name] if self.bias else None for name in ("b", "c"))
        x = module.__dict__.pop(_INPUT) if self.placement == "parallel" else output  # (..., d)
        if self.layer_norm:
            x = functional.layer_norm(x, x.shape[-1:], tensors["gain"], tensors["shift"])
        inner = functional.linear(x, tensors["D"], bias)  # (..., m)
        bent: torch.Tensor = getattr(functional, self.activation)(inner)
        return output + functional.linear(bent, tensors["U"], shift)


def _keep_input(module: nn.Module, inputs: tuple[Any, ...], reader: Layer) -> tuple[Any, ...]:
    """Leave the feed-forward part's input where the adapter at its end finds it."""
    reader.module.__dict__[_INPUT] = inputs[0]
    return inputs
