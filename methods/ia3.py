"""(IA)^3: trained factors on keys, values and the inner activations of the feed-forward part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import JsonValue

from finegrid.models.anatomy import Anatomy
from finegrid.models.coverage import refusal
from finegrid.models.layers import Layer, linear_layers
from methods.contract import Method
from methods.injection import add_parameters, added, change_input, change_output, remove
from methods.peft_form import ADAPTER, INSIDE, PeftForm, by_module, only
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("ia3")
@dataclass(frozen=True)
class IA3(Method):
    """Liu et al. 2022, section 3.3: l_k * K, l_v * V and (l_ff * f(W_1 x)) W_2.

    A factor of shape (out,) scales the outputs of a layer of `outputs`, one of shape (in,) the
    inputs of a layer of `inputs`, which for `down` are the inner activations. All start from one.
    """

    paper: ClassVar[str] = "Liu et al. 2022, arXiv:2205.05638"
    draws: ClassVar[bool] = False
    mergeable: ClassVar[bool] = True
    groups: ClassVar[tuple[str, ...]] = ("factor",)

    outputs: tuple[str, ...] = ("k", "v")
    """Roles of the layers whose outputs are scaled."""
    inputs: tuple[str, ...] = ("down",)
    """Roles of the layers whose inputs are scaled."""

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Roles that the model lacks, or keeps in other ways than as linear layers."""
        return refusal(anatomy, self.outputs, self.inputs)

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """Nothing to scale, or a layer that is scaled at both ends."""
        if not self.outputs and not self.inputs:
            yield "outputs: [] and inputs: [] leave nothing to train; allowed: roles of the model"
        twice = set(anatomy.named(self.outputs)) & set(anatomy.named(self.inputs))
        if twice:
            yield f"inputs: {sorted(twice)} are in outputs as well; allowed: one of the two"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Put a factor of ones on every layer."""
        import torch

        for layer in linear_layers(model, self.outputs):
            name = layer.child("ia3")
            add_parameters(layer.module, name, {"factor": torch.ones(layer.out_features)})
            change_output(layer.module, name, partial(_scale_output, layer=layer, name=name))
        for layer in linear_layers(model, self.inputs):
            add_parameters(layer.module, "ia3", {"factor": torch.ones(layer.in_features)})
            change_input(layer.module, "ia3", _scale_input)

    def body_parameters(self, model: nn.Module) -> int:
        """Outputs of the one kind of layer plus inputs of the other."""
        ends = [layer.out_features for layer in linear_layers(model, self.outputs)]
        return sum(ends) + sum(layer.in_features for layer in linear_layers(model, self.inputs))

    def merge(self, model: nn.Module) -> None:
        """W <- diag(l) W and b <- l b, or W <- W diag(l)."""
        import torch

        with torch.no_grad():
            for layer in linear_layers(model, self.outputs):
                name = layer.child("ia3")
                factor = added(layer.module, name)["factor"]
                layer.set_weight(layer.weight() * factor[:, None])
                if (bias := layer.bias()) is not None:
                    layer.set_bias(bias * factor)
                remove(layer.module, name)
            for layer in linear_layers(model, self.inputs):
                layer.set_weight(layer.weight() * added(layer.module, "ia3")["factor"])
                remove(layer.module, "ia3")

    def peft_form(self, model: nn.Module) -> PeftForm:
        """A factor for each module: of a fused one, the other roles' outputs have ones."""
        import torch

        outputs, inputs = (by_module(model, roles) for roles in (self.outputs, self.inputs))
        tensors = {}
        for path, layers in outputs.items():
            factors = [added(one.module, one.child("ia3"))["factor"] for one in layers]
            pairs = zip(layers, factors, strict=True)
            wide = torch.stack([1 + layer.widen(factor - 1) for layer, factor in pairs])
            tensors[f"{INSIDE}{path}.ia3_l.{ADAPTER}"] = wide.prod(0)[:, None]
        for path, layers in inputs.items():
            factor = added(layers[0].module, "ia3")["factor"]
            tensors[f"{INSIDE}{path}.ia3_l.{ADAPTER}"] = factor[None]
        layers = [one for found in (outputs, inputs) for each in found.values() for one in each]
        config: dict[str, JsonValue] = {
            "peft_type": "IA3",
            "target_modules": only((*outputs, *inputs)),
            "feedforward_modules": only(inputs),
            "fan_in_fan_out": any(layer.transposed for layer in layers),
        }
        return PeftForm(config, tensors)


def _scale_output(
    module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor, layer: Layer, name: str
) -> torch.Tensor:
    # The other roles of a fused projection keep the factor one.
    factor = 1 + layer.widen(added(module, name)["factor"] - 1)
    return _scaled(output, factor)


def _scale_input(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_scaled(inputs[0], added(module, "ia3")["factor"]), *inputs[1:])


def _scaled(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """The product in the precision of x: it is rounded, and not the factor beforehand."""
    return (x * factor).to(x.dtype)
