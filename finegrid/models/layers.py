"""The layers of a live model, found by role through its anatomy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from finegrid.models.anatomy import Part, Rows
from finegrid.models.coverage import LINEAR, refusal
from finegrid.models.live import anatomy_of

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Layer:
    """A linear map y = W x (+ b) that plays a role, and where its weight is.

    The module may be a linear layer, or one that keeps its weight transposed; it may hold several
    roles, of which this one is some rows: side by side, or again for every head.
    """

    module: nn.Module
    part: Part

    @property
    def role(self) -> str:
        """What the layer is in its block."""
        return self.part.role

    @property
    def in_features(self) -> int:
        """Inputs of the layer."""
        return self.part.in_features

    @property
    def out_features(self) -> int:
        """Outputs of this role."""
        return self.part.out_features

    @property
    def transposed(self) -> bool:
        """Whether the module keeps its weight as (in, out)."""
        return self.part.stored == "transposed" and not self.is_quantised

    @property
    def is_quantised(self) -> bool:
        """Whether the module holds codes: what is read is de-quantised, and nothing is written."""
        return hasattr(self.module, "held_in")

    @property
    def width(self) -> int:
        """All outputs of the module."""
        if self.is_quantised:
            return int(self.module.out_features)  # type: ignore[arg-type]  # as in a linear layer
        return int(self._whole().shape[0])

    def child(self, name: str) -> str:
        """A name for what is added to the module, apart from the other roles that it holds."""
        return name if self.part.outputs is None else f"{name}_{self.role}"

    def widen(self, part: torch.Tensor) -> torch.Tensor:
        """This role's outputs (..., out) at their rows, zeros for the module's other outputs."""
        import torch
        from torch.nn import functional

        if self.part.outputs is None:
            return part
        rows = self._rows()
        runs = torch.unflatten(part, -1, (rows.count, rows.length))
        stride = self.width // rows.count
        return functional.pad(runs, (rows.start, stride - rows.start - rows.length)).flatten(-2)

    def add_product(
        self, output: torch.Tensor, up: torch.Tensor, inner: torch.Tensor
    ) -> torch.Tensor:
        """The module's outputs (..., width) plus U z at this role's rows.

        U (out, r) is wide and short, z (r, tokens) as well: of gradients of such sizes, those that
        are computed row by row of r take a tenth of the time of the others.
        """
        import torch

        rows = self.widen(up.T).contiguous()  # (r, width)
        return torch.addmm(output.reshape(-1, output.shape[-1]), inner.T, rows).view_as(output)

    def weight(self) -> torch.Tensor:
        """W (out, in) as numbers: a copy where the rows do not stand together."""
        return self._own(self._whole()).flatten(0, 1)

    def bias(self) -> torch.Tensor | None:
        """b (out,) as numbers; None where there is none."""
        bias: torch.Tensor | None = self.module.bias  # type: ignore[assignment]  # or None
        return None if bias is None else self._own(bias).flatten(0, 1)

    def add(self, update: torch.Tensor) -> None:
        """W <- W + update, of shape (out, in), in place. Raises ValueError for a quantised W."""
        own = self._own(self._writable())
        own.add_(update.reshape(own.shape))

    def set_weight(self, weight: torch.Tensor) -> None:
        """W <- weight, of shape (out, in), in place. Raises ValueError for a quantised W."""
        own = self._own(self._writable())
        own.copy_(weight.reshape(own.shape))

    def set_bias(self, bias: torch.Tensor) -> None:
        """b <- bias, of shape (out,), in place."""
        whole: torch.Tensor = self.module.bias  # type: ignore[assignment]  # a parameter
        own = self._own(whole)
        own.copy_(bias.reshape(own.shape))

    def _whole(self) -> torch.Tensor:
        """The module's weight as (all outputs, in), a view."""
        weight: torch.Tensor = self.module.weight  # type: ignore[assignment]  # a parameter
        return weight.T if self.transposed else weight

    def _writable(self) -> torch.Tensor:
        if self.is_quantised:
            raise ValueError(f"{self.part.path} is held quantised: nothing is written into it")
        return self._whole()

    def _rows(self) -> Rows:
        return self.part.outputs or Rows(start=0, length=self.width)

    def _own(self, whole: torch.Tensor) -> torch.Tensor:
        """This role's rows of (all outputs, ...), a view (runs, rows of a run, ...)."""
        import torch

        rows = self._rows()
        runs = torch.unflatten(whole, 0, (rows.count, whole.shape[0] // rows.count))
        return runs[:, rows.start : rows.start + rows.length]


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The model's blocks, from the input to the head."""
    return [model.get_submodule(block.path) for block in anatomy_of(model).blocks]


def linear_layers(model: nn.Module, roles: tuple[str, ...]) -> Iterator[Layer]:
    """The layers that play one of the roles, role by role; (`all`,) stands for every role.

    Raises ValueError where a named role has no linear layer in this model, and where `all` would
    leave some weights out: an injection that silently finds nothing would train the head alone.
    """
    anatomy = anatomy_of(model)
    if reason := refusal(anatomy, roles):
        raise ValueError(reason)
    for part in anatomy.of_roles(roles):
        if part.stored in LINEAR:
            yield Layer(model.get_submodule(part.path), part)


@dataclass(frozen=True)
class Dropout:
    """A dropout, by the attribute that holds its probability."""

    holder: Any
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
    for part in anatomy_of(model).of_roles((role,)):
        if part.dropout is not None:
            parent, _, name = part.dropout.rpartition(".")
            holder = attrgetter(parent)(model)  # a module, or the configuration that it reads
            drop = getattr(holder, name)  # a module, or the probability
            found = Dropout(holder, name) if isinstance(drop, float | int) else Dropout(drop, "p")
            yield model.get_submodule(part.path), found


def ends_of(model: nn.Module, role: str) -> Iterator[nn.Module]:
    """What gives out a sublayer's output, for each layer of the role that ends one.

    That is the layer itself, or the norm that its outputs go through.
    """
    for part in anatomy_of(model).of_roles((role,)):
        yield model.get_submodule(part.end or part.path)


def feed_forward_sums(model: nn.Module) -> list[nn.Module]:
    """What gives out each feed-forward part's output plus its residual; none where not known."""
    return [model.get_submodule(path) for path in anatomy_of(model).feed_forward_sums]
