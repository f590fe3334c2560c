"""Translation memories: TMX 1.1 to 1.4b, of which each unit has a text in several languages.

A file may come from anybody: entities that it declares, or that stand elsewhere, are refused, so
that none is expanded and nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import IO, Any, NoReturn
from xml.parsers import expat

ENDING = ".tmx"
_LOOKED_AT = 200
"""Units whose languages are the columns of a file."""
_BYTES = 1 << 16
_UNIT, _VARIANT, _SEGMENT = "tu", "tuv", "seg"
_LANGUAGE = ("xml:lang", "lang")
"""What says the language of a text, since version 1.4 and before."""
_CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})
"""Elements of a text that hold codes of the program that it was written with, and no text."""
Unit = dict[str, str]
"""The texts of a unit by their language."""


class TmxError(Exception):
    """What is wrong inside a file, after the file's name."""


def units(stream: IO[bytes]) -> Iterator[Unit]:
    """The units of a file, in their order. Raises TmxError."""
    reader = _Reader()
    try:
        while part := stream.read(_BYTES):
            reader.parser.Parse(part, False)
            yield from reader.taken()
        reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise TmxError(f", line {error.lineno}: no XML: {error}") from error
    yield from reader.taken()
    if not reader.count:
        raise TmxError(" has no unit; allowed: 1 or more, each a <tu>")


def languages(stream: IO[bytes]) -> list[str]:
    """The languages of the first units. Raises TmxError."""
    return list(dict.fromkeys(one for unit in islice(units(stream), _LOOKED_AT) for one in unit))


class _Reader:
    """Collects the units that a parser comes by."""

    def __init__(self) -> None:
        self.count = 0
        self._done: list[Unit] = []
        self._unit: Unit = {}
        self._language = ""
        self._text: list[str] | None = None
        """The parts of the text that the parser is in."""
        self._codes = 0
        """How many elements of codes it is in."""
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._read
        self.parser.EntityDeclHandler = self._refuse
        self.parser.SkippedEntityHandler = self._refuse

    def taken(self) -> list[Unit]:
        """The units since the last call."""
        done, self._done = self._done, []
        return done

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == _UNIT:
            self._unit = {}
        elif name == _VARIANT:
            self._language = next((attributes[one] for one in _LANGUAGE if one in attributes), "")
            if not self._language:
                raise TmxError(f"{self._place()}: a text without xml:lang; allowed: one of each")
        elif name == _SEGMENT:
            self._text = []
        elif name in _CODES:
            self._codes += 1

    def _end(self, name: str) -> None:
        if name == _UNIT:
            self.count += 1
            self._done.append(self._unit)
        elif name == _SEGMENT and self._text is not None:
            if self._language in self._unit:
                problem = f"two texts in {self._language!r}; allowed: one in each language"
                raise TmxError(f"{self._place()}: {problem}")
            self._unit[self._language] = "".join(self._text)
            self._text = None
        elif name in _CODES:
            self._codes -= 1

    def _read(self, text: str) -> None:
        if self._text is not None and not self._codes:
            self._text.append(text)

    def _refuse(self, name: str, *_: Any) -> NoReturn:
        problem = f"the entity {name!r}; allowed: none but those of XML itself, as &amp;"
        raise TmxError(f"{self._place()}: {problem}")

    def _place(self) -> str:
        return f", line {self.parser.CurrentLineNumber}"
