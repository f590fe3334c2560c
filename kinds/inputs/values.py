"""Values of a user's files that are more than a text: lists and records, as JSON has them."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any


def text_of(value: Any) -> str:
    """A text or a number as text; empty where there is none."""
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    return str(value) if is_number else ""


def short(value: Any, most: int = 60) -> str:
    """A value as a message shows it: no more than so many signs."""
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[:most]}..."


def plain(value: Any) -> Any:
    """A list or a record, which a text may hold as JSON; the text itself where it holds none."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, list | Mapping) else value


def texts_in(value: Any) -> list[str]:
    """The texts of a list, which a text may hold as JSON or Python writes it; else none.

    Numbers stand as texts; a list with anything else holds no texts.
    """
    found = literal(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        return []
    texts = list(map(text_of, found))
    is_whole = all(text or one == "" for text, one in zip(texts, found, strict=True))
    return texts if is_whole else []


def literal(text: str) -> Any:
    """What a cell holds; None where that is no value of JSON or Python."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def columns_of(value: Any, *names: str) -> tuple[Any, ...] | None:
    """The lists of these names in a record of lists or in a list of records, or None."""
    if isinstance(value, Mapping):
        found = tuple(value.get(name) for name in names)
        return found if all(isinstance(one, list | tuple) for one in found) else None
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        return tuple([one.get(name) for one in value] for name in names)
    return None
