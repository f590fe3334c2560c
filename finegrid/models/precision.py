"""In which type the numbers of a base model are held. What is computed with them is apart."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from finegrid.models.head import add_to_head, head_parameters
from finegrid.models.live import anatomy_of
from finegrid.records.training import Weights, is_quantised

_TYPES: dict[Weights, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def hold(model: nn.Module, weights: Weights) -> None:
    """Put the base's parameters into the type in which they are held, in place.

    The head stays in fp32, and so do norms: a step of training is smaller than what bf16 tells from
    one, and with fp32 parameters their kernels take inputs of any type. So does what stands in the
    sequence beside the tokens, which no operation converts. Embeddings in fp16 give out bf16, so
    that no gradient is fp16, where it would vanish unless it was scaled. A base that is to be held
    quantised stays as it is until it has its numbers: `finegrid.models.quantised`.
    """
    if weights == "fp32" or is_quantised(weights):
        return
    anatomy = anatomy_of(model)
    kept = {id(p) for path in anatomy.norms for p in model.get_submodule(path).parameters()}
    kept |= {id(p) for p in head_parameters(model)}
    inside = tuple(f"{block.path}." for block in anatomy.blocks)
    for name, parameter in model.named_parameters():
        is_of_layer = name.startswith(inside) or name.endswith((".weight", ".bias"))
        if is_of_layer and id(parameter) not in kept:
            parameter.data = parameter.data.to(_TYPES[weights])
    if weights == "fp16":
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.register_forward_hook(_as_bf16)


def add_unread(model: nn.Module, modules: tuple[str, ...]) -> None:
    """Count modules that a checkpoint lacks, by their paths, as the head: in fp32, as it is."""
    add_to_head(model, modules)
    for parameter in head_parameters(model):
        parameter.data = parameter.data.float()


def holding(kind: Any, weights: Weights) -> Any:
    """The class of models like those of `kind`, which are made with the base's numbers in a type.

    What is read from a file goes straight into that type.
    """
    return kind if weights == "fp32" or is_quantised(weights) else _holding(kind, weights)


@cache
def _holding(kind: Any, weights: Weights) -> Any:
    def init(self: Any, *arguments: Any, **options: Any) -> None:
        kind.__init__(self, *arguments, **options)
        hold(self, weights)

    return type(kind.__name__, (kind,), {"__module__": kind.__module__, "__init__": init})


def _as_bf16(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output.to(torch.bfloat16)
