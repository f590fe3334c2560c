"""What a table is likely to be whose texts follow from others: its kind and its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import JsonValue

from kinds.registry import KINDS
from tasks.file_kinds import Needs, needs_of
from tasks.file_options import Columns

_PAIRS = (
    *(("prompt", "response"), ("prompt", "completion"), ("instruction", "output")),
    *(("instruction", "response"), ("question", "answer"), ("source", "target")),
    *(("article", "highlights"), ("document", "summary"), ("dialogue", "summary")),
    *(("prompt", "target"), ("input", "output")),
)
"""Usual names of a text and of the one that follows from it."""
_BETWEEN = {"instruction": "input"}
"""A column that adds to another one, as in the form of Alpaca."""
_CHATS = ("messages", "conversations")


class Texts(NamedTuple):
    """A guess at the columns of such a table."""

    kind: str
    columns: Columns
    names: tuple[str | int, ...]
    """The columns of text."""
    asked: dict[str, JsonValue]
    reason: str


def guess_texts(keys: Mapping[str, str | int], kind: str | None) -> Texts | None:
    """The guess for columns by their names, or None where they are no usual ones.

    `keys` has each column by its name without case and signs; `kind` is one that was asked for.
    """
    found = [needs for needs in _writing() if kind in (None, needs.kind)]
    chats = [keys[name] for name in _CHATS if name in keys]
    for needs in found:
        if chats and (composed := next(iter(needs.composed), None)):
            reason = f"{needs.kind}, for {chats[0]} is a usual name of conversations"
            asked: dict[str, JsonValue] = {"encoding": {"template": "chat"}}
            return Texts(needs.kind, {composed: chats[0]}, (), asked, reason)
        for first, second in _PAIRS:
            if {first, second} <= keys.keys():
                return _pair(needs, first, second, keys)
    return None


def _pair(needs: Needs, first: str, second: str, keys: Mapping[str, str | int]) -> Texts:
    beside = [name for one, name in _BETWEEN.items() if one == first and name in keys]
    parts = (keys[first], *(keys[name] for name in beside))
    columns: Columns = {
        needs.texts[0]: parts if beside else parts[0],
        needs.truth[0]: keys[second],
    }
    reason = f"{needs.kind}, for {first} and {second} are usual names of texts of which one follows"
    return Texts(needs.kind, columns, (*parts, keys[second]), {}, reason)


def _writing() -> Iterable[Needs]:
    """What the kinds read whose outputs are texts."""
    return (needs for needs in map(needs_of, KINDS) if needs.truths == "texts")
