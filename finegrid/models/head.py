"""The head of a model: what no pretraining has seen, and every method trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finegrid.models.live import anatomy_of

if TYPE_CHECKING:
    from torch import nn

_DRAWN = "drawn_modules"
"""The attribute of a model that holds the paths of the modules that its checkpoint lacks."""


def head_modules(model: nn.Module) -> list[nn.Module]:
    """The modules of the task's head, those that no pretraining has seen.

    The anatomy's own come first, then those that this model's checkpoint lacks.
    """
    names = (*anatomy_of(model).head, *drawn_modules(model))
    modules = dict(model.named_modules())
    return [modules[name] for name in names if name in modules]


def add_to_head(model: nn.Module, modules: tuple[str, ...]) -> None:
    """Count further modules, by their paths, as the model's head: its checkpoint lacks them.

    Paths that the model does not have are those of other classes of the same checkpoint.
    """
    known = dict(model.named_modules())
    setattr(model, _DRAWN, tuple(path for path in modules if path in known))


def drawn_modules(model: nn.Module) -> tuple[str, ...]:
    """The paths of the modules that the model's checkpoint lacks."""
    found: tuple[str, ...] = getattr(model, _DRAWN, ())
    return found


def head_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of the task's head."""
    return [parameter for module in head_modules(model) for parameter in module.parameters()]
