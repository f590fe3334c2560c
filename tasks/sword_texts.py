"""Texts of the SWORD Project: the verses of a module of Bible text, without their markup (OSIS)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = "pysword"
INSTALLED_BY = "pip install 'finegrid[verses]'"
_TESTAMENTS = 2
_TAG = re.compile(r"<(?P<close>/?)(?P<name>\w+)(?P<said>[^>]*?)(?P<alone>/?)>")
_ASIDE = ("figure", "milestone", "note", "speaker")
"""Elements that hold no words of the text itself. Titles are such unless they are canonical."""
_BREAKS = ("chapter", "div", "item", "l", "lb", "lg", "list", "p", "title")
"""Elements about which lines end."""
_ADDED = re.compile(r"<transChange\b[^>]*>([^<]*)</transChange>")
_ENCLITIC = re.compile(r"(?:l[aeo]s?|[mts]e|n?os)")
"""Pronouns of Spanish that are written as a part of the verb before them."""
_CUT = "\0"
"""Where an element was taken out, or words were added: a space, if a word follows."""
_CUT_BEFORE_WORD = re.compile(rf"(?<![(“‘¿¡{_CUT}]){_CUT}+(?=[\w“‘(¿¡])")  # noqa: RUF001
_SPACE_BEFORE_SIGN = re.compile(r" (?=[,.;:!?”’)])")  # noqa: RUF001


class Place(NamedTuple):
    """Where a verse stands: the book by its OSIS abbreviation, as `1Sam`."""

    book: str
    chapter: int
    verse: int


def read_verses(folder: Path) -> dict[Place, str]:
    """The verses of the one module below a folder, in the order of its canon.

    One that the module lacks is blank. The folder is laid out as `/usr/share/sword` is. Raises
    ValueError for one without a module that has both testaments, and OSError.
    """
    bible = _module(folder)
    # The library unpacks a whole book for each of its verses.
    bible._decompressed_text = lru_cache(maxsize=1)(bible._decompressed_text)
    testaments = bible.get_structure().get_books()
    found = {
        place: plain(markup)
        for books in testaments.values()
        for book in books
        for place, markup in zip(
            _places(book), bible.get_iter(books=[book.name], clean=False), strict=True
        )
    }
    if len(testaments) < _TESTAMENTS or not any(found.values()):
        raise ValueError(f"{folder.name or folder} holds no module with both testaments")
    return found


def _module(folder: Path) -> Any:
    from pysword.modules import SwordModules

    stored = SwordModules(str(folder))
    names = [*stored.parse_modules()] if (folder / "mods.d").is_dir() else []
    if len(names) != 1:
        allowed = "allowed: one, by a file mods.d/<name>.conf"
        raise ValueError(f"{len(names)} modules of SWORD where one is read; {allowed}")
    return stored.get_bible_from_module(names[0])


def _places(book: Any) -> Iterator[Place]:
    for chapter, length in enumerate(book.chapter_lengths, start=1):
        for verse in range(1, length + 1):
            yield Place(book.osis_name, chapter, verse)


def plain(markup: str) -> str:
    """The words of a verse with single spaces: no notes, no headings, no glued words."""
    text = "".join(_kept(_ADDED.sub(_spaced, markup)))
    text = _CUT_BEFORE_WORD.sub(" ", unescape(text)).replace(_CUT, "")
    return _SPACE_BEFORE_SIGN.sub("", " ".join(text.split()))


def _spaced(added: re.Match[str]) -> str:
    """Words that the translators added, about which the files have lost spaces."""
    is_enclitic = _ENCLITIC.fullmatch(added[1])
    return f"{'' if is_enclitic else _CUT}{added[1]}{_CUT}"


def _kept(markup: str) -> Iterator[str]:
    """The parts of the markup that are words of the text, and what stands for the others."""
    end, aside, depth = 0, "", 0
    for tag in _TAG.finditer(markup):
        if not depth:
            yield markup[end : tag.start()]
        end, name = tag.end(), tag["name"]
        step = 0 if tag["alone"] else -1 if tag["close"] else 1
        if depth:
            depth += step * (name == aside)
        elif _is_aside(tag):
            aside, depth = name, max(step, 0)
            yield _CUT
        elif name in _BREAKS:
            yield " "
    if not depth:
        yield markup[end:]


def _is_aside(tag: re.Match[str]) -> bool:
    is_heading = tag["name"] == "title" and 'canonical="true"' not in tag["said"]
    return tag["name"] in _ASIDE or (is_heading and not tag["close"])
