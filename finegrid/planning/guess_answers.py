"""What a table of questions with choices, or with answers in a context, is likely to be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from finegrid.planning.guess_columns import ByName
from finegrid.planning.own_paths import Paths
from kinds.contract import Kind, RowError
from kinds.registry import KINDS, kind_named
from tasks.file_kinds import Needs, needs_of
from tasks.file_options import Columns, as_text, flat
from tasks.made_rows import MadeRows
from tasks.table_files import Format, read_rows

_ANSWERS, _CHOICES, _ANSWER = "answers", "choices", "answer"
_PLACED = ((_ANSWERS,), ("answertext", "answerstart"), ("answer", "answerstart"))
"""Usual names of answers with their places, in a column or in two."""
_CONTEXT, _FEWEST_CONTEXTS = "context", 10
"""The column whose values may come back, and how many different ones make splits of their own."""
_CONTEXTS = ("context", "article", "passage", "premise", "sent1")
_QUESTIONS = ("questionstem", "question", "ctx", "query", "goal", "sent2", "sentence")
_LISTS = ("choices", "questionchoices", "options", "endings")
_SEVERAL = re.compile(r"(ending|choice|option|sol|answer)[0-9a-e]")
_RIGHT = ("answer", "answerkey", "label", "correct", "gold", "correctanswer")


def guess_answers(
    keys: Mapping[str, str | int], paths: Paths, how: Format, kind: str | None
) -> ByName | None:
    """The guess for columns by their names, or None where they are no usual ones.

    `keys` has each column by its name without case and signs; `kind` is one that was asked for.
    Raises TableError and OSError.
    """
    for needs in map(needs_of, KINDS):
        if kind not in (None, needs.kind):
            continue
        if needs.truth == (_ANSWERS,) and (found := _spans(needs, keys, paths, how)):
            return found
        if _CHOICES in needs.made and (found := _choices(needs, keys, paths, how)):
            return found
    return None


def _spans(needs: Needs, keys: Mapping[str, str | int], paths: Paths, how: Format) -> ByName | None:
    """Columns of SQuAD's names, whose answers say where they stand."""
    answers = next((one for one in _PLACED if {*one} <= keys.keys()), None)
    if answers is None or not {*needs.texts} <= keys.keys():
        return None
    columns: Columns = {name: keys[name] for name in needs.texts}
    named = tuple(keys[one] for one in answers)
    columns[_ANSWERS] = named if len(named) > 1 else named[0]
    counts = list(_counted(needs.kind, columns, paths, how))
    if None in counts:
        return None
    asked: dict[str, JsonValue] = {"unanswerable": True} if 0 in counts else {}
    lacking = f", {counts.count(0)} rows of which are empty" if asked else ""
    reason = f"{needs.kind}, for {_ANSWERS} holds texts and where each starts{lacking}"
    return ByName(needs.kind, columns, tuple(keys[name] for name in needs.texts), asked, (reason,))


def repeated_contexts(columns: Columns, files: Sequence[Path], how: Format) -> str | None:
    """How often contexts of answers come back, where enough of them differ for splits of theirs.

    Raises TableError and OSError.
    """
    context = columns.get(_CONTEXT) if _ANSWERS in columns else None
    if not isinstance(context, str | int):
        return None
    rows = (read_rows(file, {_CONTEXT: context}, "train", how) for file in files)
    counts = Counter(hash(as_text(value)) for file in rows for _, (value,) in file)
    if not _FEWEST_CONTEXTS <= len(counts) < counts.total():
        return None
    return f"{counts.total()} questions are on {len(counts)} contexts"


def _counted(kind: str, columns: Columns, paths: Paths, how: Format) -> Iterator[int | None]:
    """How many answers each row has; None for one that has no such answers."""
    wanted = flat(columns)
    made = kind_named(kind, {"unanswerable": True})
    for split, files in paths.items():
        for path in files:
            rows = MadeRows(path, made, columns)
            for _, values in read_rows(path, wanted, split, how):
                try:
                    row = made.row(rows.values(values, wanted))
                except RowError:
                    yield None
                else:
                    yield len(row[_ANSWERS]["text"])


def _choices(
    needs: Needs, keys: Mapping[str, str | int], paths: Paths, how: Format
) -> ByName | None:
    """Choices in a list or in columns of their own, and the one that is right."""
    several = tuple(keys[name] for name in sorted(keys) if _SEVERAL.fullmatch(name))
    listed = next((keys[name] for name in _LISTS if name in keys), None)
    right = next((keys[name] for name in _RIGHT if name in keys), None)
    context = next((keys[name] for name in _CONTEXTS if name in keys), None)
    question = next((keys[name] for name in _QUESTIONS if name in keys), None)
    choices = listed if listed is not None else several if len(several) > 1 else None
    if choices is None or right is None or question is None:
        return None
    columns: Columns = {"context": context} if context is not None else {}
    columns |= {"question": question, _CHOICES: choices, _ANSWER: right}
    texts = tuple(one for one in (context, question) if one is not None)
    shown = ", ".join(map(str, several)) if choices == several else str(choices)
    reason = f"{needs.kind}, for {shown} are usual names of choices, and {right} of the right one"
    asked = _reading(needs.kind, columns, paths, how)
    more = "".join(f"; as {value}, {right} fits all rows" for value in asked.values())
    return ByName(needs.kind, columns, texts, asked, (reason + more + _alike(needs),))


def _alike(needs: Needs) -> str:
    """The other kinds that read the same columns."""
    like = (one.kind for one in map(needs_of, KINDS) if one.names == needs.names)
    others = [name for name in like if name != needs.kind]
    return f"; the same columns are read by {', '.join(others)}" if others else ""


def _reading(kind: str, columns: Columns, paths: Paths, how: Format) -> dict[str, JsonValue]:
    """What has to be said of the answers: that they count from 1 on, where only that fits."""
    from_one: dict[str, JsonValue] = {"answer_is": "number"}
    wanted = flat(columns)
    for said in ({}, from_one):
        made = kind_named(kind, said)
        rows = (
            MadeRows(path, made, columns).values(values, wanted)
            for split, files in paths.items()
            for path in files
            for _, values in read_rows(path, wanted, split, how)
        )
        if all(map(partial(_is_made, made), rows)):
            return said
    return {}


def _is_made(kind: Kind, values: Mapping[str, Any]) -> bool:
    try:
        return bool(kind.row(values))
    except RowError:
        return False
