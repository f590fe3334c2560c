"""The blocks of a live model: the elements of its topmost lists that hold linear layers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TypeGuard

from torch import nn

from finegrid.models.anatomy import Block
from finegrid.models.pattern import starred
from finegrid.models.vocabulary import ATTENTION_MARKS

Holds = Callable[[nn.Module], bool]


def find_blocks(model: nn.Module, without: tuple[str, ...], body: str) -> dict[str, Block]:
    """Path -> block, from the input to the head; `without` are paths and ends of other lists.

    Where a list holds stages, whose own lists hold the layers, the blocks are the layers of these.
    A model without linear layers in lists has its blocks where its convolutions are.
    """
    for holds in (_holds_linear, _holds_convolutions):
        found = list(_elements(model, "", holds, without))
        if found:
            return {path: Block(path=path, stack=_stack(path, body)) for path in found}
    return {}


def is_attention(name: str, module: nn.Module) -> bool:
    """Whether a module is one of attention, by its own name or that of its class."""
    words = f"{name} {type(module).__name__}".lower()
    return any(mark in words for mark in ATTENTION_MARKS)


def _elements(
    module: nn.Module, path: str, holds: Holds, without: tuple[str, ...]
) -> Iterator[str]:
    if any(f".{path}".endswith(f".{end}") for end in without):
        return
    is_list = isinstance(module, nn.ModuleList) and holds(module)
    if is_list and not all(_is_stage(element, holds) for element in module.children()):
        yield from (f"{path}.{number}".removeprefix(".") for number, _ in module.named_children())
        return
    for name, child in module.named_children():
        yield from _elements(child, f"{path}.{name}".removeprefix("."), holds, without)


def _is_stage(element: nn.Module, holds: Holds) -> bool:
    """Whether the layers are deeper: a list of one class, with all attention that there is."""
    lists = [m for m in element.modules() if isinstance(m, nn.ModuleList) and _uniform(m, holds)]
    inside = {id(module) for found in lists for module in found.modules()}
    named = ((path.rpartition(".")[2], m) for path, m in element.named_modules())
    attention = [m for name, m in named if is_attention(name, m) and m is not element]
    if attention:
        return all(id(module) in inside for module in attention)
    return _weights(lists) > sum(p.numel() for p in element.parameters()) / 2


def _uniform(found: nn.ModuleList, holds: Holds) -> bool:
    return len({type(element) for element in found}) == 1 and holds(found)


def _weights(lists: list[nn.ModuleList]) -> int:
    """Elements of the parameters of these lists, each once."""
    parameters = {id(p): p.numel() for found in lists for p in found.parameters()}
    return sum(parameters.values())


def is_transposed(module: nn.Module) -> TypeGuard[nn.Module]:
    """Whether a module is the library's linear layer that keeps its weight as (in, out)."""
    library = sys.modules.get("transformers.pytorch_utils")  # without it no module is of its class
    return library is not None and isinstance(module, library.Conv1D)


def is_convolution(module: nn.Module) -> bool:
    """Whether a module is a convolution."""
    return isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)


def _holds_linear(module: nn.Module) -> bool:
    return any(isinstance(m, nn.Linear) or is_transposed(m) for m in module.modules())


def _holds_convolutions(module: nn.Module) -> bool:
    return any(map(is_convolution, module.modules()))


def _stack(path: str, body: str) -> str:
    """A stack's name: the path of its list from the body, without the number of the element."""
    inside = path.removeprefix(f"{body}.") if body else path
    return starred(inside.rpartition(".")[0])
