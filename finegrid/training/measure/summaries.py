"""What the steps of a training leave: its loss, and its gradient norms layer by layer."""

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean, median

from torch import nn

from finegrid.records.result import Gradients, Losses, Norms
from methods.parameters import whole

_NUMBERED = re.compile(r"^(.*?\.\d+)(?:\.|$)")


def layer_of(name: str) -> str:
    """The layer of a parameter: its name up to the first number, else the module that holds it."""
    numbered = _NUMBERED.match(name)
    return numbered[1] if numbered else name.rpartition(".")[0] or name


def trained_layers(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Layer -> its parameters that are trained, for layers that have any."""
    layers: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            layers.setdefault(layer_of(name), []).append(parameter)
    return layers


def layer_norms(layers: Mapping[str, Sequence[nn.Parameter]]) -> dict[str, float]:
    """Layer -> Euclidean norm of the gradients of its parameters, for layers that have any."""
    gradients = {
        layer: [one.grad for one in parameters if one.grad is not None]
        for layer, parameters in layers.items()
    }
    return {
        layer: float(whole(nn.utils.get_total_norm(tensors)).item())
        for layer, tensors in gradients.items()
        if tensors
    }


def summarise_gradients(totals: list[float], layers: list[dict[str, float]]) -> Gradients | None:
    """The norms over the optimizer steps, total and by layer; None before the first step."""
    if not totals:
        return None
    names = dict.fromkeys(name for step in layers for name in step)
    by_layer = {name: _norms([step[name] for step in layers if name in step]) for name in names}
    return Gradients(**dict(_norms(totals)), layers=by_layer)


def summarise_losses(losses: list[float]) -> Losses | None:
    """The loss over the optimizer steps; None before the first step."""
    if not losses:
        return None
    tenth = losses[-math.ceil(len(losses) / 10) :]
    return Losses(first=losses[0], mean=fmean(losses), final=fmean(tenth), last=losses[-1])


def _norms(values: list[float]) -> Norms:
    return Norms(
        first=values[0],
        minimum=min(values),
        median=median(values),
        maximum=max(values),
        last=values[-1],
    )
