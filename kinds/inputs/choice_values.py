"""Choices and answers as data sets have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from kinds.contract import RowError
from kinds.inputs.values import columns_of, plain, short, text_of

AnswerIs = Literal["index", "number", "letter", "text", "label"]
"""The place of a choice from 0 or from 1 on, its letter, its text, or what the data label it."""
_ALLOWED = (
    "allowed: a list of 2 texts or more, a record of lists `text` and `label`, or a column each"
)


def choices_of(value: Any) -> tuple[list[str], list[str]]:
    """The texts of the choices, and their labels where the data name them, as those of ARC do.

    Of several columns those at the end may be blank. Raises RowError.
    """
    found = list(value) if isinstance(value, tuple) else plain(value)
    named = None if isinstance(value, tuple) else columns_of(found, "text", "label")
    texts = named[0] if named else found
    if not isinstance(texts, list):
        raise RowError("choices", f"{short(value)} is no list of choices; {_ALLOWED}")
    stripped = list(map(text_of, texts))
    while isinstance(value, tuple) and stripped and not stripped[-1].strip():
        stripped.pop()
    if len(stripped) < 2 or not all(map(str.strip, stripped)):
        raise RowError("choices", f"{short(texts)} are no choices; {_ALLOWED}")
    labels = [text_of(one).strip() for one in named[1]] if named else []
    if labels and (len(set(labels)) < len(stripped) or len(labels) != len(stripped)):
        raise RowError("choices", f"labels {short(labels)}; allowed: one a choice, none twice")
    return stripped, labels


def answer_among(
    value: Any, texts: Sequence[str], labels: Sequence[str], answer_is: AnswerIs | None
) -> int:
    """The place of the answer among the choices, from 0 on.

    Without a word on what the answer is, it may be a label of the choices or the text of one; where
    they have no labels, an index or a letter too. Raises RowError for one that names no choice, or
    by different readings several.
    """
    text = text_of(value).strip()
    readings = {
        "index": _numbered(text, len(texts), first=0),
        "number": _numbered(text, len(texts), first=1),
        "letter": _lettered(text, len(texts)),
        "text": [at for at, one in enumerate(texts) if one.strip() == text],
        "label": [at for at, one in enumerate(labels) if one == text],
    }
    usual = ("label", "text") if labels else ("index", "letter", "text")
    places = {at for name in ([answer_is] if answer_is else usual) for at in readings[name]}
    if len(places) == 1:
        return places.pop()
    raise RowError("answer", _why(text, texts, labels, answer_is, places))


def _numbered(text: str, count: int, first: int) -> list[int]:
    if not (text.isascii() and text.removesuffix(".0").isdigit()):
        return []
    at = int(text.removesuffix(".0")) - first
    return [at] if 0 <= at < count else []


def _lettered(text: str, count: int) -> list[int]:
    is_letter = len(text) == 1 and text.isascii() and text.isalpha()
    at = ord(text.upper()) - ord("A") if is_letter else count
    return [at] if at < count else []


def _why(
    text: str,
    texts: Sequence[str],
    labels: Sequence[str],
    answer_is: AnswerIs | None,
    places: set[int],
) -> str:
    """Why an answer names no choice, or more than one."""
    if places:
        shown = " and ".join(repr(texts[at]) for at in sorted(places))
        return (
            f"{text!r} may be {shown}; allowed: one of them, or answer_is, which says how to read"
        )
    letters = f"A to {chr(ord('A') + len(texts) - 1)}"
    index = f"0 to {len(texts) - 1}"
    forms: dict[AnswerIs | None, str] = {
        "index": index,
        "number": f"1 to {len(texts)}",
        "letter": letters,
        "text": "the text of a choice",
        None: f"{index}, {letters}, or the text of a choice",
    }
    forms["label"] = ", ".join(labels) or "none, for the choices have no labels"
    if labels and answer_is is None:
        forms[None] = f"{forms['label']}, or the text of a choice"
    allowed = forms[answer_is]
    return f"{text!r} names none of {len(texts)} choices; allowed: {allowed}"
