"""BitFit: the biases alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from methods.architectures import Shape
from methods.contract import Method, head_modules
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("bitfit")
@dataclass(frozen=True)
class BitFit(Method):
    """Train every bias of the base, of layer norms as well; Ben Zaken et al. 2021, section 3.

    y = W x + b with W frozen and b (out,) trained.
    """

    paper: ClassVar[str] = "Ben Zaken et al. 2021, arXiv:2106.10199"

    def not_applicable(self, shape: Shape) -> str | None:
        """A model without biases has nothing to train."""
        return None if shape.architecture.has_biases else "the model has no biases"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Unfreeze the biases."""
        biases = list(_biases(model))
        if not biases:
            raise ValueError("the model has no biases")
        for bias in biases:
            bias.requires_grad_()

    def body_parameters(self, model: nn.Module) -> int:
        """The sizes of all biases outside the head."""
        return sum(bias.numel() for bias in _biases(model))


def _biases(model: nn.Module) -> Iterator[nn.Parameter]:
    excluded = {id(p) for module in head_modules(model) for p in module.parameters()}
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and id(parameter) not in excluded:
            yield parameter
