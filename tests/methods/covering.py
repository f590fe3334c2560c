"""Which of all combinations of method, settings and architecture the quick tests take.

A fault of a method shows where its settings meet a certain way to keep weights, or where the method
meets a certain property of a model; it does not take every architecture to meet every property.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from functools import cache
from typing import Protocol, TypeVar

from methods.parameters import is_norm
from tests.methods.architectures import anatomy, inputs, tiny


class Combination(Hashable, Protocol):
    """What is chosen from."""

    @property
    def model_type(self) -> str:
        """The architecture."""

    @property
    def settings_key(self) -> Hashable:
        """The method with its settings."""

    @property
    def family(self) -> Hashable:
        """What shares its code: the method, or the class that stands for many methods."""


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


def covering(combinations: Iterable[C]) -> list[C]:
    """Few of the combinations, greedily, that leave out nothing that `_shows` names."""
    shown = {one: _shows(one) for one in combinations}
    missing = set().union(*shown.values())
    taken: Counter[str] = Counter()
    chosen = []
    while missing:
        # Of equally good ones, that of the architecture that was taken least.
        best = max(shown, key=lambda one: (len(shown[one] & missing), -taken[one.model_type]))
        chosen.append(best)
        missing -= shown.pop(best)
        taken[best.model_type] += 1
    return chosen


def _shows(one: Combination) -> set[Hashable]:
    """Pairs: of settings and storage, and of a method (or its family) and a property of a model."""
    pairs: set[Hashable] = {(one.family, part) for part in properties(one.model_type)}
    return pairs | {(one.settings_key, storage(one.model_type))}
