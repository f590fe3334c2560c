"""Methods together: several parts, each a method with its settings, in one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

# What may be a part is imported here: a run's source digest follows imports.
from methods import (
    adapter,
    bitfit,
    ia3,
    layernorm,
    lg,
    lora,
    prefix,
    prompt,
    token_embeddings,
    vera,
)
from methods.contract import Method
from methods.peft_form import NoPeftFormError, PeftForm, beside
from methods.registry import METHODS, register

if TYPE_CHECKING:
    import torch
    from torch import nn

    from finegrid.models.anatomy import Anatomy
    from finegrid.records.training import Weights

_MODULES: tuple[ModuleType, ...] = (
    *(adapter, bitfit, ia3, layernorm, lg, lora, prefix, prompt, token_embeddings, vera),
)


@dataclass(frozen=True)
class Part:
    """One of the methods that are combined."""

    method: str
    settings: dict[str, JsonValue] = field(default_factory=dict)
    """The fields of the method's class."""

    def built(self) -> Method:
        """The method. Raises ValueError for one that is no part, or settings that it has not."""
        names = {module.__name__ for module in _MODULES}
        allowed = [name for name in METHODS if METHODS.get(name).__module__ in names]
        if self.method not in allowed:
            raise ValueError(f"method: {self.method!r}; allowed: {', '.join(allowed)}")
        try:
            return METHODS.build(self.method, self.settings)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, ("settings", *first["loc"])))
            raise ValueError(f"{where}: {first['msg']}, not {first['input']!r}") from error


def _mix_and_match() -> dict[str, Part]:
    """He et al. 2022, section 4.6: a prefix of 30, and a parallel adapter of 512."""
    return {
        "prefix": Part("prefix", {"length": 30}),
        "feed-forward": Part("adapter", {"size": 512, "placement": "parallel"}),
    }


@register("combine")
@dataclass(frozen=True)
class Combine(Method):
    """All parts at once; by default the mix-and-match adapter, He et al. 2022.

    A part changes the layers' outputs after the parts before it, in the order of their names.
    Where two parts change the same layers, they are not merged: the order would be lost.
    """

    paper: ClassVar[str] = "He et al. 2022, arXiv:2110.04366"

    parts: Annotated[dict[str, Part], Field(min_length=2)] = field(default_factory=_mix_and_match)
    """Name -> a method and its settings."""

    def __post_init__(self) -> None:
        """Write the parts' defaults down, so that the record of a run shows them.

        Raises ValueError for a part that cannot be made.
        """
        parts = {}
        for name, part in sorted(self.parts.items()):
            try:
                built = part.built()
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            settings = TypeAdapter(type(built)).dump_python(built, mode="json")
            parts[name] = Part(part.method, settings)
        object.__setattr__(self, "parts", parts)

    @cached_property
    def methods(self) -> Mapping[str, Method]:
        """The parts' methods, by their names."""
        return {name: part.built() for name, part in self.parts.items()}

    @property
    def identity_at_start(self) -> bool:  # type: ignore[override]  # a constant elsewhere
        """Whether all parts leave the function as it is."""
        return all(one.identity_at_start for one in self.methods.values())

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether one of the parts draws."""
        return any(one.draws for one in self.methods.values())

    @property
    def mergeable(self) -> bool:  # type: ignore[override]
        """Whether all parts are, each into layers of its own, or train the base itself."""
        pairs = combinations(self.methods.values(), 2)
        apart = not any(_share_layers(*pair) for pair in pairs)
        return apart and all(one.mergeable or one.in_base for one in self.methods.values())

    @property
    def groups(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of all parts."""
        parts = self.methods.values()
        return tuple(dict.fromkeys(name for one in parts for name in one.trained_groups))

    @property
    def positions(self) -> int:
        """Those of all parts."""
        return sum(one.positions for one in self.methods.values())

    def not_applicable(self, anatomy: Anatomy) -> str | None:
        """The first part's reason that has one."""
        reasons = ((name, one.not_applicable(anatomy)) for name, one in self.methods.items())
        return next((f"{name}: {reason}" for name, reason in reasons if reason), None)

    def problems(self, anatomy: Anatomy) -> Iterator[str]:
        """The parts' own, and parts that would train or hold the same tensors."""
        for name, one in self.methods.items():
            for problem in one.problems(anatomy):
                yield f"parts.{name}.settings.{problem}"
        for (first, one), (second, other) in combinations(self.methods.items(), 2):
            again = type(one) is type(other) and not _are_apart(one, other)
            if again or one.unfreezes & other.unfreezes:
                yield f"parts: {first} and {second} train the same tensors; allowed: one of the two"

    def weights_problem(self, weights: Weights) -> str | None:
        """The first part's that has one."""
        found = (one.weights_problem(weights) for one in self.methods.values())
        return next(filter(None, found), None)

    @property
    def quantised_problem(self) -> str | None:
        """The first part's that has one."""
        found = (one.quantised_problem for one in self.methods.values())
        return next(filter(None, found), None)

    def inject(self, model: nn.Module, generator: torch.Generator) -> None:
        """The parts, one after the other: what is drawn for a part follows those before it."""
        for one in self.methods.values():
            one.inject(model, generator)

    def body_parameters(self, model: nn.Module) -> int:
        """The sum of the parts' closed forms: what is trained is one part's alone."""
        return sum(one.body_parameters(model) for one in self.methods.values())

    def finish(self, model: nn.Module) -> None:
        """All parts."""
        for one in self.methods.values():
            one.finish(model)

    def peft_form(self, model: nn.Module) -> PeftForm:
        """The form of the one part that adds something, beside what is trained of the base itself.

        Raises NoPeftFormError where several parts do, or none.
        """
        adding = [one for one in self.methods.values() if not one.in_base]
        if len(adding) != 1:
            raise NoPeftFormError("an adapter of peft is of one type, and has modules of the base")
        return beside(adding[0].peft_form(model), model)

    def merge(self, model: nn.Module) -> None:
        """All parts. Raises NotImplementedError where one cannot, or two change the same layers."""
        if not self.mergeable:
            raise NotImplementedError("not all parts can be merged, each into layers of its own")
        for one in self.methods.values():
            if not one.in_base:
                one.merge(model)


def _roles(method: Any) -> set[str]:
    """The roles of the layers that a method changes."""
    return {role for key in ("targets", "outputs", "inputs") for role in getattr(method, key, ())}


def _share_layers(one: Method, other: Method) -> bool:
    """Whether two methods may change the same layers."""
    first, second = _roles(one), _roles(other)
    return bool(first & second) or bool("all" in first | second and first and second)


def _are_apart(one: Method, other: Method) -> bool:
    """Whether two uses of a method change different layers, as far as their roles tell."""
    return bool(_roles(one) and _roles(other)) and not _share_layers(one, other)
