"""What lies below all that is trained: modules whose outputs depend on nothing that is."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from finegrid.models.live import anatomy_of


def modules_below(model: nn.Module, forward: Callable[[], object]) -> list[nn.Module]:
    """The largest modules whose outputs depend on nothing trained, in the order of their calls.

    `forward` calls the model, without dropout here: what an output depends on, its graph says. A
    module that gives out no floating-point number, or that is not called, is none of them.
    """
    depends: dict[nn.Module, bool] = {}

    def note(module: nn.Module, inputs: object, output: object) -> None:
        tensors = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        floats = [tensor for tensor in tensors if tensor.is_floating_point()]
        found = not floats or any(tensor.requires_grad for tensor in floats)
        depends[module] = depends.get(module, False) or found

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        model.eval()
        with torch.enable_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    below = [one for one, found in depends.items() if not found and not is_trained(one)]
    inside = {inner for one in below for inner in one.modules() if inner is not one}
    return [one for one in below if one not in inside]


def modules_without_dropout(model: nn.Module, forward: Callable[[], object]) -> list[nn.Module]:
    """The modules whose dropout does not act where dropout acts on what is trained alone.

    Those below, but for what stands in a layer that is trained: a method's own dropout is before
    what the method trains.
    """
    modules = dict(model.named_modules())
    layers = [modules[part.path] for part in anatomy_of(model).parts if part.path in modules]
    kept = {inner for layer in layers if is_trained(layer) for inner in layer.modules()}
    return [one for one in modules_below(model, forward) if one not in kept]


def is_trained(module: nn.Module) -> bool:
    """Whether anything in the module is trained."""
    return any(parameter.requires_grad for parameter in module.parameters())
