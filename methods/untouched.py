"""The model as it came: nothing is trained, and every score of training has to be above its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from methods.contract import Method
from methods.registry import register

if TYPE_CHECKING:
    import torch
    from torch import nn


@register("untouched")
@dataclass(frozen=True)
class Untouched(Method):
    """Train nothing. A run takes no step, and scores what the model says before any.

    Brown et al. 2020, section 2: the zero-shot setting, without a gradient update. It is for models
    all of whose weights are pretrained: a task's head that is drawn anew says nothing.
    """

    paper: ClassVar[str] = "Brown et al. 2020, arXiv:2005.14165"
    draws: ClassVar[bool] = False
    trains: ClassVar[bool] = False

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """Add nothing."""

    def body_parameters(self, model: nn.Module) -> int:
        """None."""
        return 0
