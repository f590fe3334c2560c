"""What a table is likely to be whose texts follow from others: its kind and its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from finegrid.planning.guess_columns import ByName
from finegrid.planning.guess_references import Several, listed, numbered, repeated
from kinds.registry import KINDS
from tasks.file_kinds import Needs, needs_of
from tasks.file_options import Columns
from tasks.table_files import Format

_PAIRS = (
    *(("prompt", "response"), ("prompt", "completion"), ("instruction", "output")),
    *(("instruction", "response"), ("question", "answer"), ("source", "target")),
    *(("article", "highlights"), ("document", "summary"), ("dialogue", "summary")),
    *(("prompt", "target"), ("input", "output"), ("mr", "ref"), ("source", "reference")),
    ("meaningrepresentation", "humanreference"),
)
"""Usual names of a text and of the one that follows from it."""
_BETWEEN = {"instruction": "input"}
"""A column that adds to another one, as in the form of Alpaca."""
_CHATS = ("messages", "conversations")


def guess_texts(
    keys: Mapping[str, str | int], kind: str | None, files: Sequence[Path], how: Format
) -> ByName | None:
    """The guess for columns by their names, or None where they are no usual ones.

    `keys` has each column of the files by its name without case and signs; `kind` is one that was
    asked for. Raises TableError and OSError.
    """
    found = [needs for needs in _writing() if kind in (None, needs.kind)]
    chats = [keys[name] for name in _CHATS if name in keys]
    for needs in found:
        if chats and (composed := next(iter(needs.composed), None)):
            reason = f"{needs.kind}, for {chats[0]} is a usual name of conversations"
            asked: dict[str, JsonValue] = {"encoding": {"template": "chat"}}
            return ByName(needs.kind, {composed: chats[0]}, (), asked, (reason,))
        for first, second in _PAIRS:
            if {first, second} <= keys.keys():
                return _pair(needs, first, second, keys, files, how)
        for first in dict.fromkeys(first for first, _ in _PAIRS):
            if first in keys and (several := _several(keys, first, files, how)):
                return _of_several(needs, first, several, keys)
    return None


def _several(
    keys: Mapping[str, str | int], first: str, files: Sequence[Path], how: Format
) -> Several | None:
    """The texts that are right for a source, in columns of their own or in a list."""
    others = {key: name for key, name in keys.items() if key != first}
    return numbered(others, files, how) or listed(others, files, how)


def _of_several(
    needs: Needs, first: str, several: Several, keys: Mapping[str, str | int]
) -> ByName:
    beside, parts = _parts(first, keys)
    columns: Columns = {needs.texts[0]: parts if beside else parts[0]}
    columns[needs.truth[0]] = several.columns
    asked: dict[str, JsonValue] = {"references": several.form}
    reasons = (f"{needs.kind}, for {first} is a usual name of a source of texts", several.reason)
    return ByName(needs.kind, columns, parts, asked, reasons, several.words)


def _parts(first: str, keys: Mapping[str, str | int]) -> tuple[list[str], tuple[str | int, ...]]:
    """What adds to a source, and all columns that make it."""
    beside = [name for one, name in _BETWEEN.items() if one == first and name in keys]
    return beside, (keys[first], *(keys[name] for name in beside))


def _pair(
    needs: Needs,
    first: str,
    second: str,
    keys: Mapping[str, str | int],
    files: Sequence[Path],
    how: Format,
) -> ByName:
    if several := listed({second: keys[second]}, files, how):
        return _of_several(needs, first, several, keys)
    beside, parts = _parts(first, keys)
    columns: Columns = {
        needs.texts[0]: parts if beside else parts[0],
        needs.truth[0]: keys[second],
    }
    reason = f"{needs.kind}, for {first} and {second} are usual names of texts of which one follows"
    again = repeated(parts, files, how)
    asked: dict[str, JsonValue] = {"references": again.form} if again else {}
    reasons = (reason, again.reason) if again else (reason,)
    return ByName(needs.kind, columns, (*parts, keys[second]), asked, reasons)


def _writing() -> Iterable[Needs]:
    """What the kinds read whose outputs are texts."""
    return (needs for needs in map(needs_of, KINDS) if needs.truths == "texts")
