"""A text that a regular expression matches: what a made answer has to be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

_PARSER: Any = re._parser  # type: ignore[attr-defined]  # the library's own reading of a pattern
_LETTERS: str = "1a A.,-_#:;/+*()[]{}<>=!?%&'\"$@^|~`\\\n\t234567890bcdefghijklmnopqrstuvwxyz"


class PatternError(ValueError):
    """A pattern for which no text was found."""


def matching(pattern: str) -> str:
    """A short text in which the pattern is found. Raises PatternError."""
    text = _of(_PARSER.parse(pattern))
    if re.search(pattern, text) is None:
        raise PatternError(f"no text was found that {pattern!r} matches")
    return text


def _of(parts: Iterable[tuple[Any, Any]]) -> str:
    """A text for parts one after another; what only looks about needs no text."""
    return "".join(_part(str(name), value) for name, value in parts)


def _part(name: str, value: Any) -> str:
    if name == "LITERAL":
        return chr(int(value))
    if name in ("IN", "NOT_LITERAL", "ANY"):
        return _sign(name, value)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, repeated = value
        return _of(repeated) * int(max(least, min(1, most)))
    if name == "SUBPATTERN":
        return _of(value[-1])
    if name == "ATOMIC_GROUP":
        return _of(value)
    return _of(value[1][0]) if name == "BRANCH" else ""


def _sign(name: str, value: Any) -> str:
    """The first letter that a class of letters holds, by the library's own judgement."""
    if name == "ANY":
        return _LETTERS[0]
    if name == "NOT_LITERAL":
        return _LETTERS[0] if ord(_LETTERS[0]) != value else _LETTERS[1]
    matchers: list[Callable[[str], bool]] = [
        _matcher(str(what), given) for what, given in value if str(what) != "NEGATE"
    ]
    negated = any(str(what) == "NEGATE" for what, _ in value)
    letters: list[str] = [*_LETTERS, *_literals(value)]
    for one in letters:
        if any(matches(one) for matches in matchers) != negated:
            return one
    return ""


def _literals(value: Any) -> list[str]:
    said = [given for what, given in value if str(what) == "LITERAL"]
    said += [given[0] for what, given in value if str(what) == "RANGE"]
    return [chr(one) for one in said]


def _matcher(name: str, value: Any) -> Callable[[str], bool]:
    if name == "LITERAL":
        return lambda one: ord(one) == int(value)
    if name == "RANGE":
        return lambda one: int(value[0]) <= ord(one) <= int(value[1])
    word = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
    kind = str(value).removeprefix("CATEGORY_")
    pattern = word.get(kind.removeprefix("NOT_"), ".")
    pattern = pattern.upper() if kind.startswith("NOT_") else pattern
    return lambda one: re.match(pattern, one) is not None
