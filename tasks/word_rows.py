"""Tables with a row for each word, of which a column tells the sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Row = tuple[str, tuple[Any, ...]]


def sentences(rows: Iterable[Row]) -> Iterator[Row]:
    """One row a sentence of rows whose last value tells it: a list of each other value.

    A sentence goes on where that is the one before, or blank. It stands where its first word does.
    """
    place, told, words = "", None, list[tuple[Any, ...]]()
    for at, (*values, said) in rows:
        is_new = bool(str(said or "").strip()) and said != told
        if words and is_new:
            yield place, _columns(words)
        if not words or is_new:
            place, told, words = at, said, []
        words.append(tuple(values))
    if words:
        yield place, _columns(words)


def _columns(words: list[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*words, strict=True)))
