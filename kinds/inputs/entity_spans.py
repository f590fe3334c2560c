"""Texts with entities at places of signs, as tools for annotation write them, cut into words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from kinds.inputs.parts import RowError
from kinds.inputs.values import literal, short, text_of

Alignment = Literal["strict", "expand"]
"""What becomes of an entity that ends inside a word: an error, or an entity of whole words."""
SPANS, TEXT, ANSWER = "spans", "text", "answer"
OUTSIDE, BEGINS, GOES_ON = "O", "B-", "I-"
CANCELLED = "was_cancelled"
"""What Label Studio says of an annotation that was skipped."""
ACCEPTED = "accept"
"""What Prodigy says of an example that its annotator has accepted."""
_STARTS, _ENDS, _LABELS = ("start", "start_offset"), ("end", "end_offset"), ("label", "labels")
_ALLOWED = (
    "allowed: a list of [start, end, label], or of records of start, end and label "
    "(start_offset, end_offset, labels)"
)
_SINGLE = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Han and kana, which no spaces part: each sign is a word."""
_LAST_MARK = 0x20000


class Span(NamedTuple):
    """An entity: where it starts, the place behind its end, its type, and its text if said."""

    start: int
    end: int
    label: str
    text: str | None = None


class Word(NamedTuple):
    """A word of a text, with its place and the one behind its end."""

    start: int
    end: int
    text: str


def words_of(text: str) -> list[Word]:
    """The words: runs of letters and digits, and any other sign but blanks alone.

    Each sign of Han and kana is a word; a mark goes with the sign before it.
    """
    return [Word(*found.span(), found[0]) for found in _word().finditer(text)]


@cache
def _word() -> re.Pattern[str]:
    marks = "".join(
        re.escape(chr(code))
        for code in range(_LAST_MARK)
        if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me", "Cf")
    )
    run = rf"(?![{_SINGLE}])\w(?:(?![{_SINGLE}])[\w{marks}])*"
    return re.compile(rf"[{_SINGLE}][{marks}]*|{run}|[^\w\s][{marks}]*")


def spans_of(value: Any) -> list[Span]:
    """The entities of a value, each once, in the order of their places; none where it is blank.

    They are lists of a start, an end and a type, records of these, or the annotations of a task of
    Label Studio, of which there is one. Raises RowError.
    """
    if _is_blank(value):
        return []
    found = _columns(literal(value) if isinstance(value, str) else value)
    if not isinstance(found, list | tuple):
        raise RowError(SPANS, f"{short(value)} is no list; {_ALLOWED}")
    listed = _result(found) if any(_is_annotation(one) for one in found) else found
    return sorted(set(map(_span, listed)), key=lambda one: one[:3])


def _is_blank(value: Any) -> bool:
    """Whether a row has no value: none, a blank cell, or what pandas has for one."""
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or (isinstance(value, str) and not value.strip())


def _columns(found: Any) -> Any:
    """The records of a record of lists, as the datasets library has them; else the value itself."""
    if not isinstance(found, Mapping) or not all(isinstance(one, list) for one in found.values()):
        return found
    return [dict(zip(found, row, strict=False)) for row in zip(*found.values(), strict=False)]


def _is_annotation(value: Any) -> bool:
    return isinstance(value, Mapping) and "result" in value


def _result(annotations: Sequence[Any]) -> list[Any]:
    """The entities of the one annotation that was not skipped."""
    kept = [one for one in annotations if _is_annotation(one) and not one.get(CANCELLED)]
    if not kept:
        allowed = f"allowed: an annotation; or drop: {{{SPANS}: [{CANCELLED}]}}"
        raise RowError(SPANS, f"its annotation was skipped ({CANCELLED}); {allowed}")
    if len(kept) > 1:
        raise RowError(SPANS, f"{len(kept)} annotations; allowed: one a row")
    return [one["value"] for one in kept[0]["result"] or [] if _is_region(one)]


def _is_region(one: Any) -> bool:
    """Whether a result is of a part of the text; others are relations, or of all of it."""
    return isinstance(one, Mapping) and str(one.get("type", "")).endswith("labels")


def _span(value: Any) -> Span:
    text: Any = None
    if isinstance(value, list | tuple) and len(value) == 3:
        start, end, label = value
    elif isinstance(value, Mapping):
        start, end, label = (_first(value, names) for names in (_STARTS, _ENDS, _LABELS))
        text = value.get(TEXT)
    else:
        raise RowError(SPANS, f"{short(value)} is no entity; {_ALLOWED}")
    if isinstance(label, list | tuple):
        if len(label) != 1:
            raise RowError(SPANS, f"{short(value)} has {len(label)} labels; allowed: one each")
        (label,) = label
    named = text_of(label).strip()
    if not (type(start) is int and type(end) is int and named):
        raise RowError(SPANS, f"{short(value)}: no whole numbers and a label; {_ALLOWED}")
    return Span(start, end, named, text if isinstance(text, str) else None)


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((record[name] for name in names if name in record), None)


def types_held(value: Any) -> set[str]:
    """What a row may be left out for: types of its entities, a blank where there is none."""
    try:
        return {one.label for one in spans_of(value)} or {""}
    except RowError:
        every = value if isinstance(value, list) else []
        skipped = [bool(one.get(CANCELLED)) for one in every if _is_annotation(one)]
        return {CANCELLED} if skipped and all(skipped) else set()


def tagged(text: str, spans: Sequence[Span], alignment: Alignment) -> tuple[list[str], list[str]]:
    """The words of a text, and their tags by IOB2. Raises RowError."""
    words = words_of(text)
    if not words:
        blank = f'blank; allowed: text; or drop: {{{TEXT}: [""]}}, which leaves blank rows out'
        raise RowError(TEXT, blank)
    places = [(*_words_in(text, one, words, alignment), one) for one in spans]
    for (_, end, first), (start, _, second) in pairwise(sorted(places, key=lambda one: one[:2])):
        if start < end:
            both = f"{_said(text, first)} and {_said(text, second)} share a word"
            raise RowError(SPANS, f"{both}; allowed: entities that do not overlap")
    tags = [OUTSIDE] * len(words)
    for start, end, span in places:
        tags[start:end] = [BEGINS + span.label, *[GOES_ON + span.label] * (end - start - 1)]
    return [word.text for word in words], tags


def _words_in(
    text: str, span: Span, words: Sequence[Word], alignment: Alignment
) -> tuple[int, int]:
    """The first word of an entity, and the one behind its last; blanks at its ends are no part."""
    _check_place(text, span)
    inside = [at for at, one in enumerate(words) if one.start < span.end and span.start < one.end]
    if not inside:
        raise RowError(SPANS, f"{_said(text, span)} holds no word; allowed: 1 word or more")
    first, last = words[inside[0]], words[inside[-1]]
    cut = [
        word.text
        for word, is_cut in ((first, first.start < span.start), (last, span.end < last.end))
        if is_cut
    ]
    if cut and alignment == "strict":
        allowed = "allowed: whole words; or alignment: expand, by which such an entity is widened"
        raise RowError(SPANS, f"{_said(text, span)} cuts the word {short(cut[0])}; {allowed}")
    return inside[0], inside[-1] + 1


def _check_place(text: str, span: Span) -> None:
    if not 0 <= span.start < span.end <= len(text):
        allowed = f"allowed: start before end, from 0 to {len(text)}, the signs of the text"
        raise RowError(SPANS, f"{list(span[:3])!r} is no part of the text; {allowed}")
    if is_in(text, span):
        return
    said = span.text or ""
    units = text.encode("utf-16-le", "surrogatepass")[2 * span.start : 2 * span.end]
    is_utf16 = _plain(units.decode("utf-16-le", "replace")) == _plain(said)
    why = "; the places count code units of UTF-16, as JavaScript does" if is_utf16 else ""
    raise RowError(
        SPANS,
        f"{_said(text, span)} is not the text {short(said)} that is said of it{why}; "
        "allowed: places that count signs, as Python does, from 0 on, the end behind the last",
    )


def is_in(text: str, span: Span) -> bool:
    """Whether an entity lies in a text, which has there what is said of it but for blanks."""
    is_part = 0 <= span.start < span.end <= len(text)
    said = text[span.start : span.end] if span.text is None else span.text
    return is_part and _plain(text[span.start : span.end]) == _plain(said)


def _plain(text: str) -> str:
    return "".join(text.split())


def _said(text: str, span: Span) -> str:
    """An entity as a message names it."""
    return f"{span.label} {short(text[span.start : span.end])} ({span.start} to {span.end})"


def both_signs(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags, with both that words of an entity may have, whether they occur or not.

    A type of which training has single words alone may have two elsewhere.
    """
    types = {tag[len(BEGINS) :] for tag in tags if tag != OUTSIDE}
    both = {sign + one for sign in (BEGINS, GOES_ON) for one in types}
    return tuple(sorted({OUTSIDE, *both}))
