"""What methods add to a model: named tensors on a layer, and a hook that uses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch
    from torch import nn

Hook = Callable[["nn.Module", tuple[Any, ...], "torch.Tensor"], "torch.Tensor"]
_HANDLE = "finegrid_hook"


def add_parameters(module: nn.Module, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give the module trainable tensors as the child `name`.

    Raises ValueError where the module has such a child: two injections would share their state.
    """
    from torch import nn

    if hasattr(module, name):
        raise ValueError(f"{type(module).__name__} already has {name!r}: apply a method once")
    parameters = {key: nn.Parameter(tensor) for key, tensor in tensors.items()}
    module.add_module(name, nn.ParameterDict(parameters))


def added(module: nn.Module, name: str) -> nn.ParameterDict:
    """The tensors that `add_parameters` gave the module. Raises AttributeError without them."""
    return cast("nn.ParameterDict", module.get_submodule(name))


def add_hook(module: nn.Module, hook: Hook) -> None:
    """Let the hook rewrite the module's output from now on."""
    setattr(module, _HANDLE, module.register_forward_hook(hook))


def remove(module: nn.Module, name: str) -> None:
    """Take the child and the hook away again, after a merge."""
    getattr(module, _HANDLE).remove()
    delattr(module, _HANDLE)
    delattr(module, name)
