"""Full fine-tuning: every parameter is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from methods.contract import Method, head_modules
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("full")
@dataclass(frozen=True)
class Full(Method):
    """Train all parameters: W <- W - eta dL/dW for every W of the model.

    Devlin et al. 2019, section 3: fine-tuning end to end. The reference that every other method
    is measured against.
    """

    paper: ClassVar[str] = "Devlin et al. 2019, arXiv:1810.04805"
    draws: ClassVar[bool] = False

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Unfreeze everything."""
        model.requires_grad_(requires_grad=True)

    def body_parameters(self, model: nn.Module) -> int:
        """All parameters less the head's."""
        head = {id(p) for module in head_modules(model) for p in module.parameters()}
        return sum(p.numel() for p in model.parameters() if id(p) not in head)
