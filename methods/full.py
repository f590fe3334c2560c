"""Full fine-tuning: every parameter is trained, of the model or of its last blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from finegrid.models.anatomy import Anatomy
from finegrid.models.head import head_parameters
from finegrid.models.layers import blocks_of
from methods.contract import Method
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("full")
@dataclass(frozen=True)
class Full(Method):
    """Train all parameters: W <- W - eta dL/dW for every W of the model.

    Devlin et al. 2019, section 3: fine-tuning end to end. The reference that every other method
    is measured against. With `top_blocks` k only the last k blocks are trained, those nearest to
    the head, as in FT-Top2 of Li and Liang 2021 (arXiv:2101.00190, table 1): embeddings, the other
    blocks and a norm after the last one stay frozen. A decoder's blocks come after its encoder's.
    """

    paper: ClassVar[str] = "Devlin et al. 2019, arXiv:1810.04805"
    draws: ClassVar[bool] = False
    trains_base: ClassVar[bool] = True

    top_blocks: Annotated[int, Field(ge=1)] | None = None
    """How many of the last blocks are trained; null for the whole model."""

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """More blocks than the model has."""
        blocks = len(anatomy.blocks)
        if self.top_blocks is not None and self.top_blocks > blocks:
            allowed = f"1 to {blocks}"
            yield f"top_blocks: {self.top_blocks} is above the model's blocks; allowed: {allowed}"

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Unfreeze what is trained."""
        for module in self._trained(model):
            module.requires_grad_(requires_grad=True)

    def body_parameters(self, model: nn.Module) -> int:
        """All parameters of the model, or of its last blocks, less the head's."""
        head = set(map(id, head_parameters(model)))
        trained = {id(p): p for module in self._trained(model) for p in module.parameters()}
        return sum(p.numel() for key, p in trained.items() if key not in head)

    def _trained(self, model: nn.Module) -> list[nn.Module]:
        return [model] if self.top_blocks is None else blocks_of(model)[-self.top_blocks :]
