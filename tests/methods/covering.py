"""Which of all combinations of method, settings and architecture the tests take.

A fault of a method shows where its settings meet a certain way to keep weights, or where the method
meets a certain property of a model; it does not take every architecture to meet every property.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable
from functools import cache
from heapq import heapify, heappop, heapreplace
from typing import Any, Protocol, TypeVar

import pytest

from methods.parameters import is_norm
from tests.methods.architectures import anatomy, inputs, tiny


class Combination(Hashable, Protocol):
    """What is chosen from."""

    @property
    def model_type(self) -> str:
        """The architecture."""

    @property
    def method_key(self) -> Hashable:
        """The method with its settings; of a bridge, the type alone."""

    @property
    def settings_key(self) -> Hashable:
        """The method with its settings."""

    @property
    def family(self) -> Hashable:
        """What shares its code: the method, or the class that stands for many methods."""

    @property
    def code_key(self) -> Hashable:
        """The method with its settings; of a bridge, the class that stands for many methods."""


C = TypeVar("C", bound=Combination)


@cache
def storage(model_type: str) -> str:
    """How the architecture keeps the weights that methods change."""
    parts = anatomy(model_type).parts
    if any(part.role == "linear" for part in parts):
        return "a plain stack"
    ways: list[str] = [part.stored for part in parts if part.stored != "linear"]
    ways += ["interleaved" for part in parts if part.outputs and part.outputs.count > 1]
    ways += ["side by side" for part in parts if part.outputs and part.outputs.count == 1]
    return ", ".join(sorted(set(ways))) or "a layer a role"


@cache
def properties(model_type: str) -> frozenset[Hashable]:
    """What a method may meet in the architecture, beside the storage of its weights."""
    model, found = tiny(model_type), anatomy(model_type)
    sizes = {part.role: part.out_features for part in found.parts}
    return frozenset(
        {
            storage(model_type),
            ("reads", tuple(sorted(inputs(model_type)))),
            ("head", found.head),
            ("attention", found.attention_reason is None),
            ("biases", found.has_biases),
            ("norms", tuple(sorted({type(m).__name__ for m in model.modules() if is_norm(m)}))),
            ("stacks", len(found.stacks)),
            ("gate", "gate" in sizes),
            ("grouped keys", sizes.get("q") != sizes.get("k")),
        }
    )


SHOWN: dict[str, Callable[[Combination], Collection[Hashable]]] = {
    "method": lambda one: [one.method_key],
    "storage": lambda one: [(one.settings_key, storage(one.model_type))],
    "properties": lambda one: [(one.family, part) for part in properties(one.model_type)],
    "code": lambda one: [one.code_key],
    "code by storage": lambda one: [(one.family, storage(one.model_type))],
}
"""What a test may need to see of every method: once, by storage, and by property of a model.

By its code: once with each of its settings, where a bridge's types all share one code.
"""
QUICK = {True: ("method", "code by storage"), False: ("code",)}
"""What is seen by `make test`, where a test has to see methods by storage and where it has not."""


@cache
def covering(combinations: tuple[C, ...], what: tuple[str, ...]) -> tuple[C, ...]:
    """Few of the combinations, greedily, that leave out nothing of `SHOWN` that is named."""
    numbers: dict[Hashable, int] = {}
    shown = [_bits(_shows(one, what), numbers) for one in combinations]
    missing = (1 << len(numbers)) - 1
    taken: Counter[str] = Counter()
    chosen = []
    ranks = [(-bits.bit_count(), 0, at) for at, bits in enumerate(shown)]
    heapify(ranks)
    while missing:
        at = ranks[0][2]
        one = combinations[at]
        # Of equally good ones, that of the architecture that was taken least. Ranks only fall.
        rank = (-(shown[at] & missing).bit_count(), taken[one.model_type], at)
        if rank != ranks[0]:
            heapreplace(ranks, rank)
            continue
        heappop(ranks)
        chosen.append(one)
        missing &= ~shown[at]
        taken[one.model_type] += 1
    return tuple(chosen)


def quick(combinations: tuple[C, ...], what: tuple[str, ...]) -> tuple[C, ...]:
    """Those that `make test` takes, of a test that has to see what is named."""
    return covering(combinations, QUICK["storage" in what])


def graded(
    test: str, combinations: tuple[C, ...], what: tuple[str, ...], *, is_whole: bool
) -> list[Any]:
    """The parameters of a test: the quick ones, and marked as thorough the others.

    These are the covering ones, or all.
    """
    first = quick(combinations, what)
    others = combinations if is_whole else covering(combinations, what)
    beyond = pytest.mark.thorough(test)
    return [*first, *(pytest.param(one, marks=beyond) for one in others if one not in first)]


def _shows(one: Combination, what: Collection[str]) -> set[Hashable]:
    return {(kind, part) for kind in what for part in SHOWN[kind](one)}


def _bits(shown: set[Hashable], numbers: dict[Hashable, int]) -> int:
    """The set as the bits of a number, each with the place that was given to its element first."""
    return sum(1 << numbers.setdefault(one, len(numbers)) for one in shown)
