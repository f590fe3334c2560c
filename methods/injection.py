"""What methods add to a model: named tensors on a module, and hooks that use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch
    from torch import nn

OutputHook = Callable[["nn.Module", tuple[Any, ...], "torch.Tensor"], "torch.Tensor"]
InputHook = Callable[["nn.Module", tuple[Any, ...]], tuple[Any, ...]]
Keywords = dict[str, Any]
Draw = Callable[["torch.Generator"], "torch.Tensor"]
KeywordHook = Callable[["nn.Module", tuple[Any, ...], Keywords], tuple[tuple[Any, ...], Keywords]]
_HANDLES = "finegrid_hooks"


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


def add_constants(module: nn.Module, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give the child `name` frozen tensors that are made anew of the base model, and not stored."""
    child = added(module, name)
    for key, tensor in tensors.items():
        child.register_buffer(key, tensor, persistent=False)


def add_drawn(
    module: nn.Module, name: str, draws: Mapping[str, Draw], generator: torch.Generator
) -> None:
    """Give the child `name` frozen tensors that a seed of its own draws; the seed alone is stored.

    A state dict brings the seed with it, which then draws them again.
    """
    import torch

    child, seed = added(module, name), drawn_seed(generator, 2**62)
    child.register_buffer("seed", torch.tensor(seed))
    add_constants(module, name, _drawn(seed, draws))
    again = partial(_draw_again, draws=draws)
    child.register_load_state_dict_post_hook(again)  # type: ignore[no-untyped-call]


def drawn_seed(generator: torch.Generator, below: int) -> int:
    """A seed that the generator draws: a number also where a trace gives tensors none."""
    import torch
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    with unset_fake_temporarily():
        return int(torch.randint(below, (), generator=generator, device="cpu"))


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Let the generator decide what is drawn on the CPU without one, and leave no trace."""
    import torch

    seed = drawn_seed(generator, 2**31)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _drawn(seed: int, draws: Mapping[str, Draw]) -> dict[str, torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(seed)
    return {key: draw(generator) for key, draw in draws.items()}


def _draw_again(child: nn.Module, keys: Any, draws: Mapping[str, Draw]) -> None:
    """Put what the child's seed draws in the place of what another one drew."""
    seed = int(child.get_buffer("seed"))
    for key, tensor in _drawn(seed, draws).items():
        child.get_buffer(key).copy_(tensor)


def change_output(module: nn.Module, name: str, hook: OutputHook) -> None:
    """Let the hook rewrite the module's output from now on, until `remove` of that name."""
    _handles(module)[name] = module.register_forward_hook(hook)


def change_input(module: nn.Module, name: str, hook: InputHook) -> None:
    """Let the hook rewrite the module's positional inputs from now on, until `remove`."""
    _handles(module)[name] = module.register_forward_pre_hook(hook)


def change_keywords(module: nn.Module, name: str, hook: KeywordHook) -> None:
    """Let the hook rewrite the module's positional and named inputs from now on, until `remove`."""
    _handles(module)[name] = module.register_forward_pre_hook(hook, with_kwargs=True)


def remove(module: nn.Module, name: str) -> None:
    """Take the child and its hook away again."""
    _handles(module).pop(name).remove()
    delattr(module, name)


def _handles(module: nn.Module) -> dict[str, Any]:
    if _HANDLES not in module.__dict__:
        module.__dict__[_HANDLES] = {}
    return cast("dict[str, Any]", module.__dict__[_HANDLES])
