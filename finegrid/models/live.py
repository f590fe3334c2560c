"""The anatomy of a live model, which is found once and kept with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from finegrid.models.anatomy import Anatomy

if TYPE_CHECKING:
    from torch import nn

_KEPT = "finegrid_anatomy"


def anatomy_of(model: nn.Module) -> Anatomy:
    """The anatomy of a model. The first call has to come before a method changes the model.

    Raises AnatomyError where discovery cannot read the model.
    """
    if _KEPT not in model.__dict__:
        from finegrid.models.discovery import discover

        model.__dict__[_KEPT] = discover(model)
    return cast("Anatomy", model.__dict__[_KEPT])
