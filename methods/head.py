"""The head alone: a linear probe of the frozen model, the floor of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from finegrid.models.anatomy import Anatomy
from methods.contract import Method
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("head")
@dataclass(frozen=True)
class Head(Method):
    """Train the task's head on the features of the frozen model.

    Alain and Bengio 2016, equation 1: f(h) = softmax(W h + b), h the frozen features.
    """

    paper: ClassVar[str] = "Alain and Bengio 2016, arXiv:1610.01644"
    draws: ClassVar[bool] = False

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A model whose head pretraining has seen."""
        return None if anatomy.head else "the model has no new head: pretraining has seen all of it"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Add nothing: the contract leaves the head trainable."""

    def body_parameters(self, model: nn.Module) -> int:
        """None."""
        return 0
