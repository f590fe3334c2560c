"""A model is divided among the processes of a run, part by part, from the first one's numbers.

The first process holds the whole model. The others may hold it on the meta device, without a
number: of each part they get all of it, keep their own shard, and go on with the next part.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh

from finegrid.models.head import head_modules
from finegrid.models.layers import blocks_of
from finegrid.models.live import anatomy_of

_PIECE_BYTES = 2**30
"""What is sent at a time."""
_NAMED = 3
"""Tensors that a message names."""


@dataclass
class _Part:
    """A module that is divided by itself, and the tensors that no part before it has."""

    module: nn.Module
    tensors: dict[str, torch.Tensor]


def shard(model: nn.Module, mesh: DeviceMesh, gathered: Callable[[Any], list[Any]]) -> nn.Module:
    """Divide each block, and what is left with the model, in place; a pass gathers what it needs.

    `gathered` gives the values of all processes, by rank. Raises RuntimeError where this process's
    model differs from the first one's by more than its numbers.
    """
    from torch.distributed.fsdp import fully_shard

    device = mesh.device_type
    parts, inventory = _parts(model)
    _check_alike(inventory, gathered(inventory)[0])
    moved = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    for part in parts:
        for name in sorted(part.tensors):
            tensor = part.tensors.pop(name)
            _place(tensor, device if id(tensor) in moved else "cpu")
            _send(tensor)
            del tensor  # its shard takes its place
        fully_shard(part.module, mesh=mesh, reshard_after_forward=True)
    return model


def _parts(model: nn.Module) -> tuple[list[_Part], list[str]]:
    """The parts in the order in which they are divided, and a line on each tensor of the model."""
    paths = {id(module): path for path, module in model.named_modules()}
    names: dict[int, str] = {}
    parts, inventory = list[_Part](), list[str]()
    for root in (*_apart(model), *blocks_of(model), model):
        part = _Part(root, {})
        for module in root.modules():
            for name, tensor in _tensors_in(vars(module), paths.pop(id(module), None)):
                first = names.setdefault(id(tensor), name)
                inventory.append(_line(name, first, tensor))
                if first == name:
                    part.tensors[name] = tensor
        parts.append(part)
    return parts, sorted(inventory)


def _tensors_in(value: Any, path: str | None) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a module, by where they stand in it: those of its children are theirs.

    Beside parameters and buffers these are what a library keeps in lists and dictionaries. Without
    a path the module was met before.
    """
    if path is None:
        return
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    items = value.items() if isinstance(value, Mapping) else ()
    for key, one in enumerate(value) if isinstance(value, list | tuple) else items:
        yield from _tensors_in(one, f"{path}.{key}")


def _line(name: str, first: str, tensor: torch.Tensor) -> str:
    if first != name:
        return f"{name} is {first}"
    trained = "trained" if tensor.requires_grad else "frozen"
    return f"{name}: {trained} {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _check_alike(own: Sequence[str], first: Sequence[str]) -> None:
    odd = sorted({*own} ^ {*first})
    if odd:
        others = len(odd) - _NAMED
        listed = "; ".join(odd[:_NAMED]) + (f" and {others} more" if others > 0 else "")
        raise RuntimeError(f"the model is not that of the run's first process: {listed}")


@torch.no_grad()
def _place(tensor: torch.Tensor, device: str) -> None:
    """Give the tensor room on the device, where it has none there. It stays the same object."""
    if not tensor.is_meta:
        if tensor.device.type != device and device != "cpu":
            tensor.data = tensor.to(device)
        return
    roomy = torch.empty_like(tensor, device=device)
    if isinstance(tensor, nn.Parameter):
        roomy = nn.Parameter(roomy, requires_grad=tensor.requires_grad)
    roomy.__dict__.update(tensor.__dict__)
    torch.utils.swap_tensors(tensor, roomy)  # type: ignore[no-untyped-call]


@torch.no_grad()
def _send(tensor: torch.Tensor) -> None:
    """Put the first process's numbers into the tensor of each, byte by byte."""
    whole = tensor.detach().contiguous()
    if whole.numel() == 0:
        return
    for piece in torch.split(whole.view(-1).view(torch.uint8), _PIECE_BYTES):
        distributed.broadcast(piece, src=0)
    if not tensor.is_contiguous():
        tensor.detach().copy_(whole)


def _apart(model: nn.Module) -> list[nn.Module]:
    """What is divided by itself: gradients that are exchanged together are of one type."""
    if len({p.dtype for p in model.parameters() if p.requires_grad}) < 2:
        return []
    return [*(model.get_submodule(path) for path in anatomy_of(model).norms), *head_modules(model)]
