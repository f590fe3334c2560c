"""Entities in brackets, as the columns of CoNLL-2012 and CoNLL-2005 have them: `(PER* *)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

_BRACKET = re.compile(r"(?P<opens>\((?P<type>[^()*|\s]+))?(?P<star>\*)?(?P<shuts>\))?")
_ALLOWED = "allowed: *, (X*, *), (X) and the like, one entity at a time"


def bracket_among(tags: Iterable[str]) -> str | None:
    """The first tag that opens a bracket, or None."""
    return next((tag for tag in tags if len(tag) > 1 and tag.startswith("(")), None)


def are_brackets(tags: Iterable[str]) -> bool:
    """Whether all tags are brackets of one entity or of none, and some open one."""
    every = [*tags]
    return bracket_among(every) is not None and all(map(_is_bracket, every))


def _is_bracket(tag: str) -> bool:
    match = _BRACKET.fullmatch(tag)
    return match is not None and bool(match["star"] or (match["opens"] and match["shuts"]))


def of_brackets(tags: Sequence[str]) -> list[str]:
    """The tags by IOB2. Raises ValueError for what is no bracket, or in another one."""
    found = list(_of_brackets(tags))
    if (opened := _left_open(tags)) is not None:
        allowed = "allowed: *) or a like bracket in the same sentence"
        raise ValueError(f"{opened!r} is not shut; {allowed}")
    return found


def _of_brackets(tags: Sequence[str]) -> Iterator[str]:
    inside: str | None = None
    for at, tag in enumerate(tags):
        match = _BRACKET.fullmatch(tag)
        if match is None or not _is_bracket(tag):
            raise ValueError(f"{tag!r} is no bracket of one entity; {_ALLOWED}")
        if match["opens"] and inside is not None:
            outer = bracket_among(reversed(tags[:at]))
            allowed = "allowed: an entity that ends before the next one begins"
            raise ValueError(f"{tag!r} inside of {outer!r}; {allowed}")
        if match["shuts"] and inside is None and not match["opens"]:
            raise ValueError(f"{tag!r} shuts no bracket; {_ALLOWED}")
        if match["opens"]:
            inside = match["type"]
            yield f"B-{inside}"
        else:
            yield "O" if inside is None else f"I-{inside}"
        inside = None if match["shuts"] else inside


def _left_open(tags: Sequence[str]) -> str | None:
    """The last bracket, where nothing shuts it."""
    at = max((at for at, tag in enumerate(tags) if tag.startswith("(")), default=None)
    if at is None or any(tag.endswith(")") for tag in tags[at:]):
        return None
    return tags[at]
