"""The layers of a live model, found by role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods.architectures import ALL_LINEAR, architecture_of

if TYPE_CHECKING:
    import torch
    from torch import nn

_PARTS = 3
"""A fused projection holds queries, keys and values."""


@dataclass(frozen=True)
class Layer:
    """A linear map y = W x (+ b) that plays a role, and where its weight is.

    The module may be a linear layer, or one that keeps its weight transposed; it may hold several
    roles side by side, of which this is the outputs from `start` to `stop`.
    """

    module: nn.Module
    role: str
    in_features: int
    start: int
    stop: int
    transposed: bool

    @property
    def out_features(self) -> int:
        """Outputs of this role."""
        return self.stop - self.start

    def child(self, name: str) -> str:
        """A name for what is added to the module, apart from the other roles that it holds."""
        return name if self.out_features == self.width else f"{name}_{self.role}"

    @property
    def width(self) -> int:
        """All outputs of the module."""
        return _width(self.module, self.transposed)

    def widen(self, part: torch.Tensor) -> torch.Tensor:
        """This role's outputs (..., out) with zeros for the module's other outputs."""
        from torch.nn import functional

        return functional.pad(part, (self.start, self.width - self.stop))

    def weight(self) -> torch.Tensor:
        """W (out, in), a view of the module's own storage."""
        weight: torch.Tensor = self.module.weight  # type: ignore[assignment]  # a parameter
        return (weight.T if self.transposed else weight)[self.start : self.stop]

    def bias(self) -> torch.Tensor | None:
        """b (out,), a view of the module's own storage."""
        bias: torch.Tensor | None = self.module.bias  # type: ignore[assignment]  # or None
        return None if bias is None else bias[self.start : self.stop]


def modules_matching(model: nn.Module, pattern: str) -> Iterator[tuple[str, nn.Module]]:
    """Path and module of all whose whole path matches the pattern, in the model's order."""
    compiled = re.compile(pattern)
    for path, module in model.named_modules():
        if compiled.fullmatch(path):
            yield path, module


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The model's blocks, from the input to the head."""
    return [module for _, module in modules_matching(model, architecture_of(model).block)]


def linear_layers(model: nn.Module, roles: tuple[str, ...]) -> Iterator[Layer]:
    """The layers that play one of the roles; (`all`,) stands for every role.

    Raises ValueError where a named role has no layer in this model: an injection that silently
    finds nothing would train the head alone.
    """
    architecture = architecture_of(model)
    for role in architecture.roles if roles == (ALL_LINEAR,) else roles:
        pattern = architecture.roles.get(role)
        found = [module for _, module in modules_matching(model, pattern)] if pattern else []
        if not found and roles != (ALL_LINEAR,):
            raise ValueError(f"the model has no layer of role {role!r}")
        for module in found:
            yield _layer(module, role, architecture.fused.get(role))


def _layer(module: nn.Module, role: str, part: int | None) -> Layer:
    transposed = type(module).__name__ == "Conv1D"
    weight: torch.Tensor = module.weight  # type: ignore[assignment]  # a parameter
    width = _width(module, transposed)
    share = width if part is None else width // _PARTS
    start = 0 if part is None else part * share
    return Layer(
        module, role, weight.shape[0 if transposed else 1], start, start + share, transposed
    )


def _width(module: nn.Module, transposed: bool) -> int:
    weight: torch.Tensor = module.weight  # type: ignore[assignment]  # a parameter
    return int(weight.shape[1 if transposed else 0])
