"""Answers that stand in a text, as data sets have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kinds.contract import RowError
from kinds.inputs.values import columns_of, plain, short, text_of

_ALLOWED = (
    "allowed: SQuAD's {text: [...], answer_start: [...]}, a list of such records, or two columns, "
    "a text and its start"
)


def answers_of(value: Any) -> tuple[list[str], list[int]]:
    """The texts of the answers and where each starts, in signs from 0 on; none where it has none.

    A tuple holds one of each, or blanks where there is no answer. Raises RowError.
    """
    if isinstance(value, tuple):
        if len(value) != 2:
            raise RowError("answers", f"{len(value)} columns; {_ALLOWED}")
        texts, starts = ([one] if text_of(one).strip() else [] for one in value)
    else:
        found = plain(value)
        columns = ([], []) if found == [] else columns_of(found, "text", "answer_start")
        if columns is None:
            raise RowError("answers", f"{short(value)} are no answers; {_ALLOWED}")
        texts, starts = map(list, columns)
    places = list(map(_place, starts))
    if len(texts) != len(places) or None in places or not all(map(str.strip, map(text_of, texts))):
        raise RowError("answers", f"{short(value)}: not a text and a start each; {_ALLOWED}")
    return list(map(text_of, texts)), [place for place in places if place is not None]


def misplaced(context: str, texts: Sequence[str], starts: Sequence[int]) -> str | None:
    """Which answer does not stand in the context where it says, or None."""
    for text, start in zip(texts, starts, strict=True):
        there = context[start : start + len(text)]
        if there != text:
            return (
                f"answer_start {start}: the context has {short(there)} there, the answer is "
                f"{short(text)}; allowed: where the answer starts, in signs from 0 on"
                + _nearest(context, text, start)
            )
    return None


def _nearest(context: str, text: str, start: int) -> str:
    """Where the text does stand, nearest to a place."""
    found, places = context.find(text), list[int]()
    while found >= 0:
        places.append(found)
        found = context.find(text, found + 1)
    return f", as {min(places, key=lambda at: abs(at - start))}" if places else ""


def _place(value: Any) -> int | None:
    """A whole number from 0 on, or None."""
    text = text_of(value).strip().removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() else None
