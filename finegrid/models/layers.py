"""The layers of a live model, found by role."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finegrid.models.architectures import architecture_of
from finegrid.models.shape import ALL_LINEAR, Architecture

if TYPE_CHECKING:
    import torch
    from torch import nn


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
            yield _layer(module, role, architecture)


@dataclass(frozen=True)
class Dropout:
    """A dropout, by the attribute of a module that holds its probability."""

    holder: nn.Module
    name: str

    @property
    def probability(self) -> float:
        """With which a feature is dropped in training."""
        return float(getattr(self.holder, self.name))

    def switch_off(self) -> None:
        """Drop nothing from now on."""
        setattr(self.holder, self.name, 0.0)


def dropouts_behind(model: nn.Module, role: str) -> Iterator[tuple[nn.Module, Dropout]]:
    """Each layer of the role whose outputs go through a dropout, and that dropout.

    Several layers of a block may share theirs.
    """
    architecture = architecture_of(model)
    place = architecture.dropouts.get(role)
    if place is None:
        return
    for path, module in modules_matching(model, architecture.roles[role]):
        parent, _, name = _from(path, place).rpartition(".")
        holder = model.get_submodule(parent)
        drop = getattr(holder, name)  # a module, or the probability
        found = Dropout(holder, name) if isinstance(drop, float | int) else Dropout(drop, "p")
        if hasattr(found.holder, found.name):  # an identity stands for no dropout
            yield module, found


def ends_of(model: nn.Module, role: str) -> Iterator[nn.Module]:
    """What gives out a sublayer's output, for each layer of the role that ends one.

    That is the layer itself, or the norm that its outputs go through.
    """
    architecture = architecture_of(model)
    place = architecture.ends.get(role)
    for path, module in modules_matching(model, architecture.roles[role]):
        yield model.get_submodule(_from(path, place)) if place else module


def _from(path: str, place: str) -> str:
    """The path of a place that is named from another path, as `../dropout` is."""
    return posixpath.normpath(f"{path.replace('.', '/')}/{place}").replace("/", ".")


def _layer(module: nn.Module, role: str, architecture: Architecture) -> Layer:
    transposed = architecture.transposed
    weight: torch.Tensor = module.weight  # type: ignore[assignment]  # a parameter
    parts = [r for r in architecture.fused if architecture.roles[r] == architecture.roles[role]]
    share = _width(module, transposed) // (len(parts) or 1)
    start = architecture.fused.get(role, 0) * share
    return Layer(
        module, role, weight.shape[0 if transposed else 1], start, start + share, transposed
    )


def _width(module: nn.Module, transposed: bool) -> int:
    weight: torch.Tensor = module.weight  # type: ignore[assignment]  # a parameter
    return int(weight.shape[1 if transposed else 0])
