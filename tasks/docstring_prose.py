"""The headline of a docstring and the prose below it, by PEP 257 and the style guide of numpydoc.

The headline is the first paragraph. What follows up to the first section of parameters, examples,
references and the like is its body, of which the sentences are taken: no doctests, directives,
blocks of code or tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise, takewhile
from typing import NamedTuple

_RULE = re.compile(r"([=\-~^\"*#+])\1{2,}")
"""What underlines the heading of a section."""
_TABLE = re.compile(r"[=\-+|: ]*[=\-+]{3,}[=\-+|: ]*")
"""A line between the rows of a table."""
_OF_PROSE = ("explanation", "description", "details", "extended summary")
"""Headings below which the body goes on: sympy writes `Explanation`, numpydoc none."""
_OTHER_SECTION = re.compile(
    r"(arg(ument)?s|attributes|examples?|keyword arguments|notes?|parameters|raises|references|"
    r"returns?|see also|usage|warns|yields)::?$|:(param|type|raises|returns?|rtype)\b",
    re.IGNORECASE,
)
"""A section without a rule, as Google's style guide and Sphinx write it."""
_ROLE = re.compile(r"(?::\w+)?:[\w-]+:`([^`]*)`")
_WITH_TARGET = re.compile(r"(.+?)\s*<[^>]*>")
_FOOTNOTE = re.compile(r"(\[[\w*#-]+\])_")
_DOCTEST, _DIRECTIVE, _CODE_FOLLOWS = ">>>", ".. ", "::"
_FORMULA = ".. math::"
_ENDS, _INTRODUCES = (".", "!", "?"), (":", "-")


class Prose(NamedTuple):
    """A headline in one line, blank where there is none, and its body, a paragraph a line."""

    headline: str
    body: str
    is_whole: bool
    """Whether the headline ends before its body: no formula or code goes on with it."""


def prose_of(docstring: str) -> Prose:
    """The two parts of a docstring; of a role, such as `:class:`, its text."""
    lines = docstring.strip().split("\n")
    first = list(takewhile(lambda line: line.strip() and not _ends_prose(line), lines))
    if not first or any(_RULE.fullmatch(line.strip()) for line in first):
        return Prose("", "", is_whole=False)
    headline, rest = _inline(first), lines[len(first) :]
    below = next((line.lstrip() for line in rest if line.strip()), "")
    goes_on = headline.endswith(_INTRODUCES) or (
        below.startswith(_FORMULA) and not headline.endswith(_ENDS)
    )
    paragraphs = _paragraphs(_before_sections(rest))
    return Prose(headline, "\n".join(_sentences(paragraphs)), is_whole=not goes_on)


def _before_sections(lines: Sequence[str]) -> Iterator[str]:
    """The lines up to the first section that is no prose, without headings and their rules."""
    is_rule = False
    for line, below in pairwise([*lines, ""]):
        if is_rule:
            is_rule = False
            continue
        if _OTHER_SECTION.match(line.strip()):
            return
        is_rule = bool(line.strip()) and not line[0].isspace() and bool(_RULE.fullmatch(below))
        if is_rule and line.strip().lower() not in _OF_PROSE:
            return
        yield "" if is_rule else line


def _paragraphs(lines: Iterator[str]) -> Iterator[list[str]]:
    """The lines between blank ones."""
    found: list[str] = []
    for line in chain(lines, [""]):
        if line.strip():
            found.append(line)
        elif found:
            yield found
            found = []


def _sentences(paragraphs: Iterator[list[str]]) -> Iterator[str]:
    """What is said in each paragraph, in one line."""
    margin: int | None = None
    for lines in paragraphs:
        if margin is not None and _indent(lines[0]) > margin:
            continue  # the content of a directive, or a block of code
        margin = None
        if any(_TABLE.fullmatch(line.strip()) for line in lines):
            continue
        said = list(takewhile(lambda line: not _ends_prose(line), lines))
        text = _inline(said)
        if len(said) < len(lines) and lines[len(said)].lstrip().startswith(_DIRECTIVE):
            margin = _indent(lines[len(said)])
        elif text.endswith(_CODE_FOLLOWS):
            margin, text = _indent(lines[0]), text[:-1]
        if text.strip(" :"):
            yield text


def _ends_prose(line: str) -> bool:
    return line.lstrip().startswith((_DOCTEST, _DIRECTIVE))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _inline(lines: Sequence[str]) -> str:
    """Lines as one, with roles and footnotes as a reader of the page sees them."""
    text = " ".join(" ".join(lines).split())
    return _ROLE.sub(lambda role: _shown(role[1]), _FOOTNOTE.sub(r"\1", text)).strip()


def _shown(role: str) -> str:
    """What is read of a role: the words before a target, or of `~a.b` the last name."""
    if target := _WITH_TARGET.fullmatch(role):
        return target[1]
    return role.rpartition(".")[2] if role.startswith("~") else role.removeprefix("!")
