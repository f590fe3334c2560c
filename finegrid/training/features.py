"""What the frozen part of a model gives of a split, kept from one evaluation to the next.

The batches of an evaluation are fixed by the data, and nothing that lies below all that is trained
changes between two of them: its outputs are equal to the bit. They are not kept for training,
whose batches are never the same twice.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from finegrid.models.layers import blocks_of
from finegrid.training.below import is_trained, modules_below
from kinds.contract import Row

BUDGET_BYTES = 2**28
"""Of the host, that the features of a split may take; more of them are computed each time."""
Place = tuple[int, int, int]
"""Of a value: the number of its module, of the module's call, of the value in the output."""


@dataclass
class Tape:
    """What modules gave out in one pass."""

    values: dict[Place, Any] = field(default_factory=dict)
    """Plain values, and tensors on the host; on the meta device those that nothing reads."""
    forms: dict[tuple[int, int], TreeSpec] = field(default_factory=dict)
    """How the values of each call are put together."""

    @property
    def kept(self) -> dict[Place, torch.Tensor]:
        """The tensors with numbers."""
        tensors = {at: one for at, one in self.values.items() if isinstance(one, torch.Tensor)}
        return {at: tensor for at, tensor in tensors.items() if not tensor.is_meta}

    @property
    def size_bytes(self) -> int:
        """What the tensors take."""
        return sum(tensor.nbytes for tensor in self.kept.values())

    def without(self, places: set[Place]) -> "Tape":
        """The tape without the numbers of some tensors."""
        dropped = {at: one.to("meta") for at, one in self.kept.items() if at in places}
        return Tape(self.values | dropped, self.forms)

    def is_equal(self, other: "Tape") -> bool:
        """Whether the numbers of both are the same, to the bit."""
        own, others = self.kept, other.kept
        return own.keys() == others.keys() and all(torch.equal(own[at], others[at]) for at in own)


@dataclass
class Features:
    """What the modules below all that is trained give of each batch of a split."""

    modules: Sequence[nn.Module]
    """Empty where nothing is kept any more."""
    device: torch.device
    batches: int
    unread: set[Place] = field(default_factory=set)
    """Of tensors that the modules alone read, which are not computed then either."""
    tapes: dict[int, Tape] = field(default_factory=dict)
    """By the number of the batch."""

    @contextmanager
    def of(self, number: int) -> Iterator[None]:
        """A block in which the model is called once, on that batch: what is kept is not computed.

        The first time it is computed and kept, unless all batches may take more than the budget.
        """
        if number in self.tapes:
            with self.played(self.tapes[number]):
                yield
            return
        with self.taped() as tape:
            yield
        self.tapes[number] = tape.without(self.unread)
        # The first batch has the longest examples.
        if number == 0 and self.tapes[0].size_bytes * self.batches > BUDGET_BYTES:
            self.stop()

    def check(self, number: int, call: Callable[[], object]) -> None:
        """Stop where a call of the model gives something else of that batch than what is kept."""
        if number in self.tapes:
            with self.taped() as tape:
                call()
            if not tape.without(self.unread).is_equal(self.tapes[number]):
                self.stop()

    def stop(self) -> None:
        """Give the memory back, and compute everything from now on."""
        self.modules = ()
        self.tapes.clear()

    @contextmanager
    def taped(self) -> Iterator[Tape]:
        """A block whose tape holds, when it ends, what the modules have given out in it."""
        tape = Tape()
        with ExitStack() as stack:
            for number, module in enumerate(self.modules):
                forward = partial(_tape, module.forward, tape, number, count())
                stack.enter_context(_forward(module, forward))
            yield tape

    @contextmanager
    def played(self, tape: Tape) -> Iterator[None]:
        """A block in which the modules give out what the tape holds, and are not computed."""
        with ExitStack() as stack:
            for number, module in enumerate(self.modules):
                forward = partial(_play, self.device, tape, number, count())
                stack.enter_context(_forward(module, forward))
            yield


def find_features(
    model: nn.Module,
    forward: Callable[[], object],
    say: Callable[[], list[Row]],
    device: torch.device,
    batches: int,
) -> Features | None:
    """What can be kept of a model.

    `forward` calls the model with a graph, `say` asks it of a few examples. None where not even a
    block lies below all that is trained, or where the model says something else with what is kept.
    """
    blocks = blocks_of(model)
    if not blocks or is_trained(blocks[0]):
        return None
    features = Features(_worthwhile(blocks, modules_below(model, forward)), device, batches)
    if not features.modules:
        return None
    expected = say()
    with features.taped() as tape:
        say()

    def suffices(unread: set[Place]) -> bool:
        with features.played(tape.without(unread)):
            return say() == expected

    if not suffices(set()):
        return None
    for place, tensor in tape.kept.items():
        if tensor.is_floating_point() and suffices({*features.unread, place}):
            features.unread.add(place)
    return features


def _worthwhile(blocks: list[nn.Module], below: list[nn.Module]) -> list[nn.Module]:
    """The modules but for those in a block that is not below; none where no block is."""
    parts = {inner for block in blocks for inner in block.modules() if inner is not block}
    found = [module for module in below if module not in parts]
    inside = {inner for module in found for inner in module.modules()}
    return [] if inside.isdisjoint(blocks) else found


def _tape(
    forward: Callable[..., Any],
    tape: Tape,
    number: int,
    calls: Iterator[int],
    *inputs: Any,
    **named: Any,
) -> Any:
    """The module's own output, of which the tape gets a copy."""
    output, call = forward(*inputs, **named), next(calls)
    leaves, tape.forms[number, call] = tree_flatten(output)
    tape.values |= {(number, call, at): _copied(leaf) for at, leaf in enumerate(leaves)}
    return output


def _play(
    device: torch.device,
    tape: Tape,
    number: int,
    calls: Iterator[int],
    *inputs: Any,
    **named: Any,
) -> Any:
    """What the tape holds, in copies: who reads them may change them in place."""
    call = next(calls)
    form = tape.forms[number, call]
    values = (tape.values[number, call, at] for at in range(form.num_leaves))
    return tree_unflatten([_given(value, device) for value in values], form)


def _copied(leaf: Any) -> Any:
    """A copy on the host; None for an object, which may hold more, as a cache of keys does."""
    if isinstance(leaf, torch.Tensor):
        return leaf.detach().to("cpu", copy=True)
    return leaf if isinstance(leaf, bool | int | float | str) else None


def _given(value: Any, device: torch.device) -> Any:
    """A copy on the device; of a tensor without numbers one that makes all NaN that reads it."""
    if not isinstance(value, torch.Tensor):
        return value
    if value.is_meta:
        return torch.full_like(value, torch.nan, device=device)
    return value.to(device, copy=True)


@contextmanager
def _forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let the module's calls, and its hooks, find another forward pass than its own."""
    own = module.__dict__.get("forward")
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if own is not None:
            module.__dict__["forward"] = own
