"""BitFit: the biases alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from finegrid.models.anatomy import Anatomy
from finegrid.models.coverage import refusal
from finegrid.models.head import head_parameters
from finegrid.models.layers import Layer, linear_layers
from methods.contract import Method
from methods.injection import add_parameters, added, change_output
from methods.parameters import Category
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("bitfit")
@dataclass(frozen=True)
class BitFit(Method):
    """Train every bias of the base, of layer norms as well; Ben Zaken et al. 2021, section 3.

    y = W x + b with W frozen and b (out,) trained. Layers of `added_to` that have no bias get one,
    which starts from zero, as Liu et al. 2022 do in T5 (arXiv:2205.05638, section 4.1).
    """

    paper: ClassVar[str] = "Ben Zaken et al. 2021, arXiv:2106.10199"
    draws: ClassVar[bool] = False
    unfreezes: ClassVar[frozenset[Category]] = frozenset({"norm", "bias"})
    groups: ClassVar[tuple[str, ...]] = ("bias",)

    added_to: tuple[str, ...] = ()
    """Roles of the layers that get a bias where they have none; [all] stands for every layer."""

    @property
    def in_base(self) -> bool:
        """Unless it adds biases."""
        return not self.added_to

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """Roles that the model lacks, or nothing to train."""
        if self.added_to:
            return refusal(anatomy, self.added_to)
        return None if anatomy.has_biases else "the model has no biases"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Unfreeze the biases and add those that are missing."""
        import torch

        biases, bare = list(_biases(model)), list(self._bare(model))
        if not biases and not bare:
            raise ValueError("the model has no biases")
        for bias in biases:
            bias.requires_grad_()
        for layer in bare:
            name = layer.child("bitfit")
            add_parameters(layer.module, name, {"bias": torch.zeros(layer.out_features)})
            change_output(layer.module, name, partial(_shift, layer=layer, name=name))

    def body_parameters(self, model: nn.Module) -> int:
        """The sizes of all biases outside the head, and the outputs of the layers without one."""
        new = sum(layer.out_features for layer in self._bare(model))
        return new + sum(bias.numel() for bias in _biases(model))

    def _bare(self, model: nn.Module) -> Iterator[Layer]:
        return (layer for layer in linear_layers(model, self.added_to) if layer.bias() is None)


def _shift(
    module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor, layer: Layer, name: str
) -> torch.Tensor:
    bias = layer.widen(added(module, name)["bias"])
    return (output + bias).to(output.dtype)  # the sum is rounded, not the bias


def _biases(model: nn.Module) -> Iterator[nn.Parameter]:
    excluded = set(map(id, head_parameters(model)))
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and id(parameter) not in excluded:
            yield parameter
