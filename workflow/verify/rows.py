"""Each published row: built on the meta device, counted in two ways, compared with the print."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import JsonValue

from methods.contract import head_modules
from methods.parameters import Category, count_trainable, is_norm, trainable_state
from records.base import Record
from workflow.verify.figures import Verdict, judge
from workflow.verify.golden import BoardRow, Golden, PaperRow
from workflow.verify.models import Models, NotBuiltError
from workflow.verify.wording import Recipe, board_recipe, paper_recipe

if TYPE_CHECKING:
    from torch import nn

_LABELS = 2
_HEAD_PART = re.compile(r"\+(\w+) only")
_TOTAL = "total"


class Row(Record):
    """What verification found on one published count."""

    id: str
    what: str
    """The model, the method and its settings, in the words of the file."""
    published: str | None
    expected: int
    verdict: Verdict
    reason: str | None = None
    closed_form: int | None = None
    meta_count: int | None = None
    split: dict[str, int] = {}
    """What is counted, by category."""
    uncounted: int | None = None
    """What is trained too, and left out by the source: a head, or norms."""
    stored: int | None = None
    """What is left after training of what is counted."""
    base_parameters: int | None = None
    """The model as it was pretrained."""

    @property
    def deviates(self) -> bool:
        """Whether a row that was built has another count than the file expects."""
        counts = {self.closed_form, self.meta_count} - {None}
        return self.verdict != "not built" and counts != {self.expected}


class Report(Record):
    """All rows, in the order of the file."""

    rows: tuple[Row, ...]


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
    labels: int = _LABELS
    denominator: JsonValue = None
    """What percentages are of: a number, or null for the base; any text adds the count to it."""
    remark: str = ""
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


def verify(golden: Golden) -> tuple[Row, ...]:
    """A row for every published count, and for every total of a model."""
    models = Models(golden.model_dims)
    claims = [_paper(row) for row in golden.papers] + [_board(row) for row in golden.board.rows]
    return (*(_verified(claim, models) for claim in claims), *_totals(golden, models))


def _paper(row: PaperRow) -> Claim:
    stated = _stated(row.stated_as)
    part, labels = _HEAD_PART.search(row.stated_as), stated.get("num_labels")
    return Claim(
        id=row.id,
        model=row.model,
        method=_words(row.spec),
        published=row.published,
        expected=row.expected,
        recipe=lambda model: paper_recipe(row.spec, model),
        counts_head=row.head_counted,
        head_part=part[1] if part else None,
        counts_norms=row.layernorm_counted,
        labels=labels if isinstance(labels, int) else _LABELS,
        denominator=stated.get("denominator"),
        remark=row.verdict,
    )


def _board(row: BoardRow) -> Claim:
    return Claim(
        id=row.id,
        model=row.model,
        method=row.experiment,
        published=f"{row.expected:,}",
        expected=row.expected,
        total=row.expected_total,
        recipe=lambda model: board_recipe(row.peft_config, row.experiment, model),
    )


def _stated(text: str) -> Mapping[str, JsonValue]:
    """The options at the end of the source's wording."""
    try:
        options = json.loads(text[text.index("{") :])
    except ValueError:
        return {}
    return options if isinstance(options, dict) else {}


def _words(spec: Mapping[str, JsonValue]) -> str:
    rest = {key: value for key, value in spec.items() if key != "method"}
    lists = {key: " ".join(map(str, v)) if isinstance(v, list) else v for key, v in rest.items()}
    return ", ".join([str(spec.get("method")), *(f"{key} {value}" for key, value in lists.items())])


def _verified(claim: Claim, models: Models) -> Row:
    row = Row(
        id=claim.id,
        what=claim.what,
        published=claim.published,
        expected=claim.expected,
        verdict="not built",
    )
    try:
        plain = models.classifier(claim.model, claim.labels)
        count = _count(plain, claim.recipe(plain), claim)
        base = models.total(claim.model)
        verdict, reason = _verdict(claim, count, base)
    except NotBuiltError as error:
        return row.model_copy(update={"reason": str(error)})
    except Exception as error:  # whatever a class says to what it was not made for
        return row.model_copy(update={"reason": _one_line(error)})
    return row.model_copy(
        update={
            "verdict": verdict,
            "reason": "; ".join(filter(None, (reason, *count.notes))) or None,
            "closed_form": count.closed_form,
            "meta_count": count.meta,
            "split": count.split,
            "uncounted": count.uncounted,
            "stored": count.stored,
            "base_parameters": base,
        }
    )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _verdict(claim: Claim, count: Count, base: int) -> tuple[Verdict, str | None]:
    if not count.closed_form == count.meta == claim.expected:
        found = f"closed form {count.closed_form:,}, meta {count.meta:,}"
        partly = count.meta != claim.expected and base + count.meta == claim.total
        note = "; the source's total agrees: it trains a part of what is added" if partly else ""
        return "mismatch", f"{found}, expected {claim.expected:,}{note}"
    verdict, reason = judge(claim.published, claim.expected, _whole(claim, base))
    if verdict == "mismatch" and claim.remark:
        return verdict, f"{reason} (the file: {claim.remark})"
    return verdict, reason


def _whole(claim: Claim, base: int) -> int:
    if isinstance(claim.denominator, int):
        return claim.denominator
    return base if claim.denominator is None else base + claim.expected


def _count(plain: nn.Module, recipe: Recipe, claim: Claim) -> Count:
    """Both counts of a recipe on a copy of the plain model."""
    model = deepcopy(plain)
    in_head = sum(p.numel() for module in head_modules(plain) for p in module.parameters())
    closed = in_head + sum(method.body_parameters(plain) for method in recipe.methods)
    _apply(recipe, model)
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
    if recipe.copies > 1:
        yield f"{recipe.copies} x {count:,}, one for each stack"
    if claim.head_part and uncounted:
        yield f"of the head, {claim.head_part} alone is counted; {uncounted:,} more are trained"


def _apply(recipe: Recipe, model: nn.Module) -> None:
    """Apply the methods one after the other; only the first freezes the model."""
    import torch

    first, *others = recipe.methods
    with torch.device("meta"):
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
        module
        for name, module in model.named_children()
        if id(module) in heads and not (claim.counts_head and claim.head_part in (None, name))
    ]
    if not claim.counts_norms:
        left += [module for module in model.modules() if is_norm(module)]
    found = {id(p): p for module in left for p in module.parameters() if p.requires_grad}
    for parameter in found.values():
        parameter.requires_grad = False
    return sum(parameter.numel() for parameter in found.values())


def _totals(golden: Golden, models: Models) -> Iterator[Row]:
    """The totals that the file gives for its models; they have no closed form but the sum."""
    for name, dims in golden.model_dims.items():
        for key, value in dims.items():
            if key.startswith(_TOTAL) and isinstance(value, int):
                yield _total(name, key.removeprefix(_TOTAL).lstrip("_"), value, models)


def _total(name: str, kind: str, expected: int, models: Models) -> Row:
    row_id = ":".join(filter(None, ("model", name, kind)))
    update: dict[str, Any] = {}
    try:
        count = models.total(name, kind)
    except NotBuiltError as error:
        update = {"verdict": "not built", "reason": str(error)}
    except Exception as error:  # as above
        update = {"verdict": "not built", "reason": _one_line(error)}
    else:
        update = {"meta_count": count, "base_parameters": count}
        if count != expected:
            reason = f"meta {count:,}, expected {expected:,}"
            update |= {"verdict": "mismatch", "reason": reason}
    row = Row(id=row_id, what=f"{name}: all", published=None, expected=expected, verdict="match")
    return row.model_copy(update=update)
