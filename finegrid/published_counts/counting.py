"""What a published count counts, and both ways to count it: closed form and live parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from pydantic import JsonValue

from finegrid.models.head import head_modules, head_parameters
from finegrid.models.layers import blocks_of
from finegrid.published_counts.models import Models
from finegrid.published_counts.wording import Recipe
from methods.parameters import Category, count_trainable, is_norm, trainable_state

if TYPE_CHECKING:
    from torch import nn

LABELS = 2
"""Classes of a head of which the source says nothing."""
_STD = 0.02
"""Standard deviation of values that only have to be there."""


@dataclass(frozen=True)
class Claim:
    """A published count, and how to build what it counts."""

    id: str
    model: str
    method: str
    published: str | None
    expected: int
    recipe: Callable[[nn.Module], Recipe]
    counts_head: bool = False
    head_part: str | None = None
    """The one module of the head that is counted, where it is not the whole head."""
    counts_norms: bool = True
    labels: int = LABELS
    denominator: JsonValue = None
    """What percentages are of: a number, or null for the base; any text adds the count to it."""
    configured: int | None = None
    """What follows from the source's configuration, where that is not what it counts."""
    remark: str = ""
    """What the file says of a count or a print that is not as expected."""
    total: int | None = None
    """The base and all that is added to it, trained or not, where the source prints that too."""

    @property
    def what(self) -> str:
        """Model and method, to be read."""
        return f"{self.model}: {self.method}"


@dataclass(frozen=True)
class Count:
    """What a recipe trains, of what is counted."""

    closed_form: int
    meta: int
    uncounted: int
    stored: int
    split: dict[str, int]
    notes: tuple[str, ...]


def count(claim: Claim, models: Models) -> Count:
    """Both counts of a claim. Raises NotBuiltError, and whatever a class says of a misfit."""
    plain = models.classifier(claim.model, claim.labels)
    try:
        return _count(plain, claim.recipe(plain), claim)
    except RuntimeError:  # how the meta device answers what depends on values
        return _count_one_block(plain, claim, models)


def _count_one_block(plain: nn.Module, claim: Claim, models: Models) -> Count:
    """As `_count`, where only one block exists with values and the closed form adds the others."""
    short = models.classifier(claim.model, claim.labels, blocks=1)
    recipe = claim.recipe(plain)
    part = _count(_with_values(short), recipe, claim, device="cpu")
    rest = recipe.copies * (_closed_form(plain, recipe) - _closed_form(short, recipe))
    note = f"the library reads values: {part.meta:,} in one block that has some, the others' added"
    return Count(
        closed_form=part.closed_form + rest,
        meta=part.meta + rest,
        uncounted=part.uncounted,
        stored=part.stored + rest,
        split={},
        notes=(*part.notes, note),
    )


def _with_values(model: nn.Module) -> nn.Module:
    """A copy whose blocks are on the CPU and drawn at random; the rest has no storage."""
    import torch

    copy, draw = deepcopy(model), torch.Generator().manual_seed(0)
    for block in blocks_of(copy):
        block.to_empty(device="cpu")
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, std=_STD, generator=draw)
    return copy


def _closed_form(plain: nn.Module, recipe: Recipe) -> int:
    in_head = sum(parameter.numel() for parameter in head_parameters(plain))
    return in_head + sum(method.body_parameters(plain) for method in recipe.methods)


def _count(plain: nn.Module, recipe: Recipe, claim: Claim, device: str = "meta") -> Count:
    """Both counts of a recipe on a copy of the plain model, which is on that device."""
    model = deepcopy(plain)
    closed = _closed_form(plain, recipe)
    _apply(recipe, model, device)
    uncounted = _freeze_uncounted(model, claim)
    split = count_trainable(model, frozenset(name for name, _ in plain.named_parameters()))
    meta = sum(split.values())
    _finish(recipe, model)
    return Count(
        closed_form=recipe.copies * (closed - uncounted),
        meta=recipe.copies * meta,
        uncounted=uncounted,
        stored=recipe.copies * sum(t.numel() for t in trainable_state(model).values()),
        split={name: recipe.copies * split[name] for name in get_args(Category) if split[name]},
        notes=tuple(_notes(recipe, claim, meta, uncounted)),
    )


def _notes(recipe: Recipe, claim: Claim, count: int, uncounted: int) -> Iterator[str]:
    yield from recipe.notes
    if recipe.copies > 1:
        yield f"{recipe.copies} x {count:,}, one for each stack"
    if claim.head_part and uncounted:
        yield f"of the head, {claim.head_part} alone is counted; {uncounted:,} more are trained"


def _apply(recipe: Recipe, model: nn.Module, device: str) -> None:
    """Apply the methods one after the other; only the first freezes the model."""
    import torch

    first, *others = recipe.methods
    with torch.device(device):
        first.apply(model, torch.Generator())
        for method in others:
            method.inject(model, torch.Generator())


def _finish(recipe: Recipe, model: nn.Module) -> None:
    import torch

    with torch.device("meta"):
        for method in recipe.methods:
            method.finish(model)


def _freeze_uncounted(model: nn.Module, claim: Claim) -> int:
    """Freeze what is trained and the source leaves out of its count; how much that is."""
    heads = {id(module) for module in head_modules(model)}
    left = [
        parameter
        for name, module in model.named_children()
        if id(module) in heads and not (claim.counts_head and claim.head_part in (None, name))
        for parameter in module.parameters()
    ]
    if not claim.counts_norms:  # their own alone: an adapter may hang at a norm
        norms = filter(is_norm, model.modules())
        left += [parameter for norm in norms for parameter in norm.parameters(recurse=False)]
    found = {id(parameter): parameter for parameter in left if parameter.requires_grad}
    for parameter in found.values():
        parameter.requires_grad = False
    return sum(parameter.numel() for parameter in found.values())
