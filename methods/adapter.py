"""Bottleneck adapters: a small trained network in each block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from finegrid.models.anatomy import Anatomy
from finegrid.models.coverage import refusal
from finegrid.models.layers import dropouts_behind, ends_of, feed_forward_sums, linear_layers
from finegrid.models.live import anatomy_of
from methods.contract import Method, above
from methods.injection import add_parameters, added, change_input, change_output
from methods.parameters import is_norm
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn

Activation = Literal["gelu", "relu", "tanh"]
Placement = Literal["houlsby", "pfeiffer", "attention", "feed-forward", "parallel", "linear"]
_AFTER: Mapping[Placement, tuple[str, ...]] = {
    "houlsby": ("o", "down"),
    "pfeiffer": ("down",),
    "attention": ("o",),
    "feed-forward": ("down",),
    "parallel": ("down",),
    "linear": ("linear",),
}
_NAME = "adapter"
_INPUT = "finegrid_adapter_input"
_NO_SUM = "no family says where the model's sublayers end"


@register("adapter")
@dataclass(frozen=True)
class Adapter(Method):
    """Bottleneck adapter, Houlsby et al. 2019, section 2.1: h <- h + U f(D x + b) + c.

    h (..., d) is what a sublayer adds to its residual r (..., d), behind the sublayer's dropout as
    in the authors' code. D (m, d) is drawn from N(0, 0.02^2), U (d, m), b and c are zero, so that
    the model starts as it was. The placement says which sublayers, and what x is:

    - `houlsby`, x = h after attention and feed-forward part; `attention` and `feed-forward` are its
      halves, and `linear` follows each layer of a plain stack.
    - `pfeiffer`, after the feed-forward part, x = LN(r + h): Pfeiffer et al. 2020, section 4.1
      (arXiv:2005.00052) and 2021 (arXiv:2005.00247); AdapterHub's `SeqBnConfig`, with
      original_ln_before and residual_before_ln. LN is the block's own norm, which the new h goes
      through too; where blocks normalise inputs instead, x = r + h, as there.
    - `parallel`, x the feed-forward part's input: He et al. 2022 (arXiv:2110.04366), table 1.

    With `layer_norm`, x is normalised on its way into D, as by Lin et al. 2020 (arXiv:2004.03829),
    with a gain of one and a shift of zero to start from. The model's own layer norms stay frozen;
    Houlsby et al. train them too.
    """

    paper: ClassVar[str] = "Houlsby et al. 2019, arXiv:1902.00751"
    groups: ClassVar[tuple[str, ...]] = ("D", "U", "b", "c", "gain", "shift")

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

    @property
    def trained_groups(self) -> tuple[str, ...]:
        """Without biases, or without the layer norm, where there are none."""
        pairs = ((self.bias, ("b", "c")), (self.layer_norm, ("gain", "shift")))
        lacking = {name for is_there, names in pairs if not is_there for name in names}
        return tuple(name for name in self.groups if name not in lacking)

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Roles that the model lacks, or sublayers of which nothing says where they end."""
        before = ("up",) if self.placement == "parallel" else ()
        needs_ends = self.placement != "linear"
        bare = _NO_SUM if needs_ends and not anatomy.sums_known else None
        return refusal(anatomy, self.after, before) or bare

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """A bottleneck that is wider than the layer it follows."""
        yield from above("size", self.size, anatomy.fewest_outputs(self.after))

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Put a bottleneck at every place."""
        if reason := self.not_applicable(anatomy_of(model)):
            raise ValueError(reason)
        layers = list(linear_layers(model, self.after))
        if self.placement == "pfeiffer":
            places, adapt = feed_forward_sums(model), self._adapt_sum
        else:
            ends = [end for role in self.after for end in ends_of(model, role)]
            places, adapt = ends, self._adapt
            _move_dropouts(model)
        for place, layer in zip(places, layers, strict=True):
            add_parameters(place, _NAME, self._tensors(layer.out_features, generator))
            change_output(place, _NAME, adapt)
        if self.placement == "parallel":
            ups = linear_layers(model, ("up",))
            for up, place in zip(ups, places, strict=True):
                change_input(up.module, _NAME, partial(_keep_input, reader=place))

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
        x = module.__dict__.pop(_INPUT) if self.placement == "parallel" else output
        return output + self._bottleneck(module, x)

    def _adapt_sum(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):  # a block may give out its attention's weights beside it
            return (self._adapt_sum(module, inputs, output[0]), *output[1:])
        update = self._bottleneck(module, output)
        if not is_norm(module):
            return output + update
        normed: torch.Tensor = module.forward(inputs[0] + update)  # without this hook
        return normed

    def _bottleneck(self, module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """U f(D x + b) + c of x (..., d)."""
        from torch.nn import functional

        tensors = added(module, _NAME)
        bias, shift = (tensors[name] if self.bias else None for name in ("b", "c"))
        if self.layer_norm:
            x = functional.layer_norm(x, x.shape[-1:], tensors["gain"], tensors["shift"])
        inner = functional.linear(x, tensors["D"], bias)  # (..., m)
        bent: torch.Tensor = getattr(functional, self.activation)(inner)
        return functional.linear(bent, tensors["U"], shift)


def _move_dropouts(model: nn.Module) -> None:
    """Let the dropout of each sublayer come before its adapter instead of after it.

    Those of sublayers without an adapter move as well: a block may have one dropout for all.
    """
    found = [pair for role in ("o", "down") for pair in dropouts_behind(model, role)]
    probabilities = [dropout.probability for _, dropout in found]
    for (module, dropout), probability in zip(found, probabilities, strict=True):
        dropout.switch_off()
        change_output(module, "dropout", partial(_drop, probability=probability))


def _drop(
    module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor, probability: float
) -> torch.Tensor:
    from torch.nn import functional

    return functional.dropout(output, probability, module.training)


def _keep_input(module: nn.Module, inputs: tuple[Any, ...], reader: nn.Module) -> tuple[Any, ...]:
    """Leave the feed-forward part's input where the adapter at its end finds it."""
    reader.__dict__[_INPUT] = inputs[0]
    return inputs
