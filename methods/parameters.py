"""Trainable tensors of a model: counted by category, taken out and put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from finegrid.models.head import head_parameters
from finegrid.models.vectors import token_tables

if TYPE_CHECKING:
    import torch
    from torch import nn

Category = Literal["adapter", "head", "norm", "bias", "embedding", "rest"]


def count_trainable(model: nn.Module, base_names: frozenset[str]) -> Counter[Category]:
    """Trainable parameters by category; `base_names` are the parameters before the method.

    A parameter is of the first category that holds: head, adapter (the method added it), norm,
    embedding, bias, rest.
    """
    counts: Counter[Category] = Counter()
    head = set(map(id, head_parameters(model)))
    tables = set(map(id, token_tables(model)))
    # tied ones stand under one name here
    once = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            if name in once:
                known: Category | None = "head" if id(parameter) in head else None
                if id(parameter) in tables:
                    known = "embedding"
                category = known or _category(module, name, added=name not in base_names)
                counts[category] += parameter.numel()
    return counts


def _category(module: nn.Module, name: str, *, added: bool) -> Category:
    from torch import nn

    if added:
        return "adapter"
    if is_norm(module):
        return "norm"
    if isinstance(module, nn.Embedding):
        return "embedding"
    return "bias" if name.endswith("bias") else "rest"


def is_norm(module: nn.Module) -> bool:
    """Whether the module normalises: LayerNorm, RMSNorm and their relatives, by their name."""
    return type(module).__name__.endswith("Norm")


def norms(model: nn.Module) -> list[nn.Module]:
    """The modules that normalise, in the model's order."""
    return [module for module in model.modules() if is_norm(module)]


def trainable_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Name -> tensor of everything trainable, detached and shared with the model."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def host_copy(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies in the memory of the host; of a tensor that is sharded, of this process's shard."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def delta_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """What has to be stored beside the base model: the trained tensors, and what draws constants.

    Constants that a seed or the base gives again are no part of a state dict.
    """
    from torch import nn

    seeds = {
        f"{path}.{name}": tensor
        for path, module in model.named_modules()
        if isinstance(module, nn.ParameterDict)
        for name, tensor in module.state_dict().items()
        if name not in module
    }
    return trainable_state(model) | seeds


def load_trainable(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Copy a trainable state into a model to which the same method was applied.

    Raises ValueError where names or shapes differ.
    """
    import torch

    own = trainable_state(model)
    if own.keys() != state.keys():
        odd = sorted(own.keys() ^ state.keys())
        raise ValueError(f"trained tensors do not fit the model: {', '.join(odd[:5])}")
    with torch.no_grad():
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name}: shape {state[name].shape}, expected {tensor.shape}")
            tensor.copy_(state[name])


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether the processes hold parts of it."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in one piece; every process takes part where it is sharded."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
