"""Which size of images a model takes, by what it does with another one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_PIXELS = "pixel_values"
_FURTHER = 64
"""Pixels by which another image is higher and wider: a multiple of the usual strides."""


def image_size(model: nn.Module) -> tuple[int, int] | None:
    """Height and width of the only images that a model takes.

    None where it takes others too, where its configuration names no size, or where what it does on
    the meta device does not tell.
    """
    if getattr(model, "main_input_name", None) != _PIXELS:
        return None
    config: Any = model.config
    size, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
    own = (size, size) if isinstance(size, int) else tuple(size or ())
    is_known = len(own) == 2 and next(model.parameters()).device.type == "meta"
    if not is_known or not _takes(model, *own):
        return None
    further = patch * 4 if isinstance(patch, int) else _FURTHER
    return None if _takes(model, own[0] + further, own[1] + further) else (own[0], own[1])


@torch.no_grad()
def _takes(model: nn.Module, height: int, width: int) -> bool:
    """Whether the model computes something of images of that size."""
    channels = getattr(model.config, "num_channels", 3)
    was_training = model.training
    try:
        model.eval()(pixel_values=torch.empty(1, channels, height, width, device="meta"))
    except Exception:  # whatever a model raises for such a size
        return False
    finally:
        model.train(was_training)
    return True
