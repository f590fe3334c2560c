"""JSON as a table: the objects of a list or of lines, and what stands in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import IO, Any

LIST = ".json"
"""What the name of a file ends with that may be a list; others have an object a line."""
ENDINGS = (LIST, ".jsonl", ".ndjson")
_SAID = {"content", "value"}
"""What holds the text of a turn of a conversation."""
_LOOKED_AT = 200
"""Objects whose keys are the columns of a file."""
Object = tuple[str, dict[str, Any]]
"""Where an object stands, `line 3` or `item 3`, and the object."""
_PARAGRAPHS, _QUESTIONS = "paragraphs", "qas"
"""What holds the parts of an article, and of a paragraph, in the files of SQuAD 1.1 and 2.0."""


class JsonError(Exception):
    """What is wrong inside a file, after the file's name: `, line 3: ...`."""


def rows(stream: IO[str], ending: str) -> Iterator[Object]:
    """The objects of a file, or those that its only one holds in a list `data`.

    Of the questions of SQuAD each is a row, with its context. Raises JsonError where a file has
    none, or where they are no rows.
    """
    found = objects(stream, ending)
    first, second = next(found, None), next(found, None)
    if first is None:
        raise JsonError(" is empty; allowed: one JSON object a line, or a list of them")
    if second is None and (inner := _held_in(first[1])):
        yield from _questions(inner) if _is_article(inner[0]) else _numbered(inner)
        return
    if first[1] and second is None and all(map(_holds_several, first[1].values())):
        allowed = "allowed: one object a row, in a list or a line each"
        raise JsonError(f": its first object holds columns or lists, no row; {allowed}")
    yield first
    if second is not None:
        yield second
        yield from found


def objects(stream: IO[str], ending: str) -> Iterator[Object]:
    """One a line or, of a file that may be one, of a list that the first line opens."""
    for number, line in enumerate(stream, 1):
        if ending == LIST and number == 1 and _opens(line):
            yield from _items(line + stream.read())
            return
        if line.strip():
            yield f"line {number}", _object(f"line {number}", line)


def all_keys(stream: IO[str], ending: str) -> list[str]:
    """The keys of the first objects of a file: an object may lack what the next one has."""
    first = islice(rows(stream, ending), _LOOKED_AT)
    return list(dict.fromkeys(key for _, found in first for key in keys(found)))


def keys(found: Mapping[str, Any]) -> Iterator[str]:
    """The keys of an object, and those of records in it behind a dot."""
    for key, value in found.items():
        yield key
        if isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in value)


def value_at(found: Mapping[str, Any], name: str) -> Any:
    """The value of a key, or of one of a record in it, as `question.stem`; None without one."""
    if name in found:
        return found[name]
    key, _, inner = name.partition(".")
    record = found.get(key)
    return value_at(record, inner) if inner and isinstance(record, dict) else None


def _holds_several(value: Any) -> bool:
    """Whether a value is a column or a list of rows; the turns of a conversation are one value."""
    if isinstance(value, list):
        return not value or not all(isinstance(one, dict) and _SAID & one.keys() for one in value)
    return isinstance(value, dict)


def _held_in(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records in a list `data`, which one object holds with what is said of all of them."""
    inner = found.get("data")
    if not isinstance(inner, list) or not all(isinstance(one, dict) for one in inner):
        return []
    return inner


def _opens(line: str) -> bool:
    """Whether the first line opens a list, or an object that goes over several lines."""
    start = line.strip()
    return start.startswith("[") or (start.startswith("{") and not start.endswith("}"))


def _items(text: str) -> Iterator[Object]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise JsonError(f": no JSON: {error}") from error
    yield from _numbered([found] if isinstance(found, dict) else found)


def _numbered(found: Sequence[Any]) -> Iterator[Object]:
    for number, item in enumerate(found, 1):
        if not isinstance(item, dict):
            raise JsonError(f", item {number}: no JSON object; allowed: a list of objects")
        yield f"item {number}", item


def _object(place: str, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise JsonError(f", {place}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise JsonError(f", {place}: no JSON object; allowed: one object a line")
    return found


def _is_article(found: Mapping[str, Any]) -> bool:
    """Whether a record holds paragraphs."""
    return isinstance(found.get(_PARAGRAPHS), list)


def _questions(articles: Sequence[Mapping[str, Any]]) -> Iterator[Object]:
    """A row for each question, with the title of its article and the context of its paragraph.

    Raises JsonError.
    """
    for number, article in enumerate(articles, 1):
        place = f"item {number}"
        for at, paragraph in enumerate(_records(article, _PARAGRAPHS, place), 1):
            inner = f"{place}, paragraph {at}"
            above = {"title": article.get("title"), "context": paragraph.get("context")}
            for which, question in enumerate(_records(paragraph, _QUESTIONS, inner), 1):
                yield f"{inner}, question {which}", above | question


def _records(found: Mapping[str, Any], key: str, place: str) -> list[dict[str, Any]]:
    inner = found.get(key)
    if not isinstance(inner, list) or not all(isinstance(one, dict) for one in inner):
        raise JsonError(f", {place}: {key!r} is no list of objects; allowed: one, as in SQuAD")
    return inner
