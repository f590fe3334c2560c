"""SSF: scaled and shifted features, a method from outside finegrid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from finegrid import (
    Anatomy,
    Layer,
    Method,
    add_parameters,
    added,
    change_output,
    linear_layers,
    refusal,
    remove,
)

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class ScaleShift(Method):
    """Lian et al. 2022, section 3.2: y <- gamma * y + beta, here on the outputs of linear layers.

    The paper changes the outputs of norms as well. gamma (out,) starts from one and beta (out,)
    from zero, where the authors' code draws both with a standard deviation of 0.02, so that
    training starts from the pretrained function. A layer without a bias gets no beta, which could
    not be merged into it.
    """

    paper: ClassVar[str] = "Lian et al. 2022, arXiv:2210.08823"
    draws: ClassVar[bool] = False
    mergeable: ClassVar[bool] = True

    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("all",)
    """Roles of the layers whose outputs are changed; [all] stands for every linear layer."""

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Targeted roles that the model lacks, or keeps in other ways than as linear layers."""
        return refusal(anatomy, self.targets)

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Put gamma and beta on every targeted layer."""
        import torch

        for layer in linear_layers(model, self.targets):
            name = layer.child("scale_shift")
            tensors = {"gamma": torch.ones(layer.out_features)}
            if layer.bias() is not None:
                tensors["beta"] = torch.zeros(layer.out_features)
            add_parameters(layer.module, name, tensors)
            change_output(layer.module, name, partial(_scale_and_shift, layer=layer, name=name))

    def body_parameters(self, model: nn.Module) -> int:
        """Sum over the targeted layers of 2 out, or of out where there is no bias."""
        layers = linear_layers(model, self.targets)
        return sum((1 if layer.bias() is None else 2) * layer.out_features for layer in layers)

    def merge(self, model: nn.Module) -> None:
        """W <- diag(gamma) W and b <- gamma * b + beta, and gamma and beta are gone."""
        import torch

        with torch.no_grad():
            for layer in linear_layers(model, self.targets):
                name = layer.child("scale_shift")
                tensors = added(layer.module, name)
                layer.set_weight(layer.weight() * tensors["gamma"][:, None])
                if (bias := layer.bias()) is not None:
                    layer.set_bias(bias * tensors["gamma"] + tensors["beta"])
                remove(layer.module, name)


def _scale_and_shift(
    module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor, layer: Layer, name: str
) -> torch.Tensor:
    tensors = added(module, name)
    # The other roles of a fused projection keep the factor one and the shift zero.
    changed = output * (1 + layer.widen(tensors["gamma"] - 1)).to(output.dtype)
    return changed + layer.widen(tensors["beta"]).to(output.dtype) if "beta" in tensors else changed
