"""The normalisation layers alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from finegrid.models.anatomy import Anatomy
from methods.contract import Method
from methods.parameters import Category, is_norm, norms
from methods.peft_form import ADAPTER, INSIDE, PeftForm, only
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("layernorm")
@dataclass(frozen=True)
class LayerNorm(Method):
    """Train gain g and shift b (d,) of every norm y = g x^ + b; Zhao et al. 2023, section 3."""

    paper: ClassVar[str] = "Zhao et al. 2023, arXiv:2312.11420"
    draws: ClassVar[bool] = False
    unfreezes: ClassVar[frozenset[Category]] = frozenset({"norm"})

    @property
    def in_base(self) -> bool:
        """Always."""
        return True

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """A model without norms has nothing to train."""
        return None if anatomy.norms else "the model has no norms"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Unfreeze the norms."""
        trained = norms(model)
        if not trained:
            raise ValueError("the model has no norms")
        for module in trained:
            module.requires_grad_(requires_grad=True)

    def body_parameters(self, model: nn.Module) -> int:
        """Gains and shifts of all norms."""
        return sum(p.numel() for module in norms(model) for p in module.parameters())

    def peft_form(self, model: nn.Module) -> PeftForm:
        """A copy of each norm."""
        found = {path: module for path, module in model.named_modules() if is_norm(module)}
        tensors = {
            f"{INSIDE}{path}.ln_tuning_layers.{ADAPTER}.{name}": tensor
            for path, module in found.items()
            for name, tensor in module.named_parameters()
        }
        return PeftForm({"peft_type": "LN_TUNING", "target_modules": only(found)}, tensors)
