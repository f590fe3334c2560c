"""Questions on paragraphs of articles, nested as in the files of SQuAD 1.1 and 2.0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Object = tuple[str, dict[str, Any]]
_PARAGRAPHS, _QUESTIONS = "paragraphs", "qas"


class JsonError(Exception):
    """What is wrong inside a file, after the file's name: `, line 3: ...`."""


def is_article(found: Mapping[str, Any]) -> bool:
    """Whether a record holds paragraphs."""
    return isinstance(found.get(_PARAGRAPHS), list)


def questions(articles: Sequence[Mapping[str, Any]]) -> Iterator[Object]:
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
