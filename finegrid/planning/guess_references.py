"""Whether a table is likely to have several texts that are right for a source, and where."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kinds.inputs.values import plain, texts_in
from tasks.file_options import OneOrSeveral, as_text
from tasks.file_references import ReferencesAre
from tasks.table_files import Format, read_rows

_NUMBERED = re.compile(r"(ref|reference|humanreference|target|summary)[0-9]+")
"""Usual names of columns that hold a text each."""
_LISTS = (
    *("references", "refs", "humanreferences", "targets", "answers", "summaries", "responses"),
    *("completions", "outputs"),
)
"""Usual names of a list of texts."""


class Several(NamedTuple):
    """A guess at where several texts stand that are right for a source."""

    form: ReferencesAre
    columns: OneOrSeveral
    reason: str
    words: tuple[int, ...] = ()
    """Of the longest text that is right in each row."""


def numbered(keys: Mapping[str, str | int], files: Sequence[Path], how: Format) -> Several | None:
    """The guess that columns hold a text each, by their names. Raises TableError and OSError."""
    names = tuple(keys[key] for key in sorted(keys, key=_order) if _NUMBERED.fullmatch(key))
    if len(names) < 2:
        return None
    words = tuple(max(map(_words, row)) for row in _rows(names, files, how))
    shown = ", ".join(map(str, names))
    reason = f"references: columns, for {shown} are usual names of texts that are all right"
    return Several("columns", names, reason, words)


def listed(keys: Mapping[str, str | int], files: Sequence[Path], how: Format) -> Several | None:
    """The guess that one column holds lists of texts: of several, the first of a usual name.

    Raises TableError and OSError.
    """
    usual = [keys[key] for key in _LISTS if key in keys] if len(keys) > 1 else [*keys.values()]
    for name in usual:
        lists = [_texts(value) for (value,) in _rows((name,), files, how)]
        if lists and all(lists):
            words = tuple(max(map(_words, texts)) for texts in lists)
            reason = f"references: list, for each {name} is a list of texts"
            return Several("list", name, reason, words)
    return None


def repeated(sources: Sequence[str | int], files: Sequence[Path], how: Format) -> Several | None:
    """The guess that rows of one source have a text each: more than half of them share theirs.

    Raises TableError and OSError.
    """
    counts = Counter(tuple(map(as_text, row)) for row in _rows(sources, files, how))
    shared, every = sum(count for count in counts.values() if count > 1), counts.total()
    if 2 * shared <= every:
        return None
    name = " and ".join(map(str, sources))
    reason = f"references: rows, for {shared} of {every} rows have the {name} of another row"
    return Several("rows", None, reason)


def _order(key: str) -> tuple[int, str]:
    """By which `ref2` stands before `ref10`."""
    return len(key), key


def _texts(value: Any) -> list[str]:
    found = plain(value)
    return texts_in(found) if isinstance(found, list) else []


def _words(text: Any) -> int:
    return len(as_text(text).split())


def _rows(
    names: Sequence[str | int], files: Sequence[Path], how: Format
) -> Iterator[tuple[Any, ...]]:
    wanted = {str(at): name for at, name in enumerate(names)}
    for file in files:
        yield from (values for _, values in read_rows(file, wanted, "train", how))
