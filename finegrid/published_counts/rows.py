"""Each published row: built on the meta device, counted in two ways, compared with the print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue

from finegrid.published_counts.counting import LABELS, Claim, Count, count
from finegrid.published_counts.figures import Verdict, judge
from finegrid.published_counts.golden import BoardRow, Golden, PaperRow
from finegrid.published_counts.models import Models, NotBuiltError
from finegrid.published_counts.wording import board_recipe, paper_recipe
from finegrid.records.base import Record

_HEAD_PART = re.compile(r"\+(\w+) only")
_TOTAL = "total"


class Row(Record):
    """What verification found on one published count."""

    id: str
    what: str
    """The model, the method and its settings, in the words of the file."""
    published: str | None
    expected: int
    configured: int | None = None
    """What follows from the configuration, where the file says why that is not as expected."""
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
        """Whether a row that was built has a count that the file neither expects nor explains."""
        return self.verdict != "not built" and self._counts not in (
            {self.expected},
            {self.configured},
        )

    @property
    def explained(self) -> bool:
        """Whether it has the count that the file explains, in place of the expected one."""
        return self.verdict != "not built" and self._counts == {self.configured}

    @property
    def _counts(self) -> set[int]:
        return {one for one in (self.closed_form, self.meta_count) if one is not None}


class Report(Record):
    """All rows, in the order of the file."""

    rows: tuple[Row, ...]


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
        labels=labels if isinstance(labels, int) else LABELS,
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
        configured=row.configured,
        remark=row.note,
        recipe=lambda model: board_recipe(row.peft_config, row.experiment, row.optimizer, model),
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
        configured=claim.configured,
        verdict="not built",
    )
    try:
        found = count(claim, models)
        base = models.total(claim.model)
        verdict, reason = _verdict(claim, found, base)
    except NotBuiltError as error:
        return row.model_copy(update={"reason": str(error)})
    except Exception as error:  # whatever a class says to what it was not made for
        return row.model_copy(update={"reason": _one_line(error)})
    return row.model_copy(
        update={
            "verdict": verdict,
            "reason": "; ".join(filter(None, (reason, *found.notes))) or None,
            "closed_form": found.closed_form,
            "meta_count": found.meta,
            "split": found.split,
            "uncounted": found.uncounted,
            "stored": found.stored,
            "base_parameters": base,
        }
    )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _verdict(claim: Claim, count: Count, base: int) -> tuple[Verdict, str | None]:
    if not count.closed_form == count.meta == claim.expected:
        found = f"closed form {count.closed_form:,}, meta {count.meta:,}"
        return "mismatch", f"{found}, expected {claim.expected:,}{_excuse(claim, count, base)}"
    verdict, reason = judge(claim.published, claim.expected, _whole(claim, base))
    if verdict == "mismatch" and claim.remark:
        return verdict, f"{reason} (the file: {claim.remark})"
    return verdict, reason


def _excuse(claim: Claim, count: Count, base: int) -> str:
    """What the file, or its total, says of a count that is not the expected one."""
    if count.closed_form == count.meta == claim.configured:
        return f" (the file: {claim.remark})"
    partly = count.meta != claim.expected and base + count.meta == claim.total
    return "; the source's total agrees: it trains a part of what is added" if partly else ""


def _whole(claim: Claim, base: int) -> int:
    if isinstance(claim.denominator, int):
        return claim.denominator
    return base if claim.denominator is None else base + claim.expected


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
