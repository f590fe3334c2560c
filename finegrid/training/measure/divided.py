"""The peak of a step on one of the devices among which a model is divided, traced on all of it.

FSDP leaves a device its share of weights, gradients and optimizer state. Each pass gathers the
weights of what is left with the model, which stay, and block by block those of the rest: one at
work, and the next both as it comes and in its place. Gradients are whole until the devices have
exchanged them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from finegrid.training.processes.sharding import parts_of

_WHOLE_WEIGHTS, _WHOLE_GRADIENTS = 3, 2
"""How often a block's weights, or gradients, are whole at a time."""


class Meter(Protocol):
    """Counts the bytes of tensors: those that are alive, and the most that were."""

    live: int
    peak: int

    def take(self, size: int) -> Callable[[], None]:
        """Count so many bytes more; what is returned is called at their end."""


@dataclass(frozen=True)
class Parts:
    """Bytes of each part that is divided by itself; the last part is what is left."""

    weights: Sequence[int]
    gradients: Sequence[int]

    @classmethod
    def of(cls, model: nn.Module) -> Parts:
        """Those of a model with its method."""
        parts = parts_of(model)
        trained = [[one for one in part if one.requires_grad] for part in parts]
        return cls(list(map(_bytes, parts)), list(map(_bytes, trained)))

    @property
    def gathered(self) -> int:
        """Weights that are whole on a device, and gradients that are not yet exchanged.

        Those of what is left with the model are there from the first to the last, and then once
        more in what the devices exchange them in.
        """
        *blocks, rest = self.weights
        *of_blocks, of_rest = self.gradients
        weights = rest + _WHOLE_WEIGHTS * max(blocks, default=0)
        exchanged = max(_WHOLE_GRADIENTS * max(of_blocks, default=0), of_rest)
        return weights + of_rest + exchanged


def divided_peak(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    passes: Sequence[Callable[[], object]],
    meter: Meter,
    devices: int,
) -> int:
    """The bytes of a device at most: in an update, and in the forward and backward passes.

    There is a pass for each micro-batch. The update, of which only shapes count, comes first: it
    makes the optimizer's state.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights, gradients = _bytes(model.parameters()), _bytes(trained)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    before = meter.live
    optimizer.step()
    states = meter.live - before
    beside = before - weights - gradients
    updating = weights + gradients + states + _rise(meter, [optimizer.step])
    optimizer.zero_grad(set_to_none=True)
    for parameter in trained:
        parameter.register_post_accumulate_grad_hook(_exchange(meter, devices))  # type: ignore[no-untyped-call]
    passing = (weights + states) / devices + Parts.of(model).gathered + _rise(meter, passes)
    return round(beside + max(updating / devices, passing))


def _exchange(meter: Meter, devices: int) -> Callable[[torch.Tensor], None]:
    """What leaves a device its share of a gradient, to which those of later passes are added."""
    known = False

    def exchange(parameter: torch.Tensor) -> None:
        nonlocal known
        if not known:
            meter.take(round(_bytes([parameter]) / devices))
        known, parameter.grad = True, None

    return exchange


def _rise(meter: Meter, calls: Iterable[Callable[[], object]]) -> int:
    """By how much what is alive rises at most while these are called."""
    gc.collect()
    before = meter.peak = meter.live
    for call in calls:
        call()
    return meter.peak - before


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
