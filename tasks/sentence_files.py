"""Files of a word a line, as those of the CoNLL tasks: a blank line ends a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

ENDINGS = (".conll", ".iob", ".iob2", ".bio")
_DOCUMENT = "-DOCSTART-"
"""The word of a line that begins a document, and is no sentence."""


class SentenceError(Exception):
    """What is wrong inside a file, after the file's name."""


class Sentence(NamedTuple):
    """The lines of a sentence, each of as many values."""

    place: str
    words: list[list[str]]

    def column(self, at: int) -> list[str]:
        """The values of a column, a word each."""
        return [word[at] for word in self.words]


def sentences(lines: Iterable[str], delimiter: str | None = None) -> Iterator[Sentence]:
    """The sentences of a file, each at the line that it begins at.

    Values are divided by the delimiter; without one by tabs where a line has any, else by spaces.
    Raises SentenceError for a line with more or less of them than the first one has.
    """
    start, words, width = 0, list[list[str]](), 0
    for number, line in enumerate(lines, 1):
        values = _values(line, delimiter)
        if not values or values[0] == _DOCUMENT:
            if words:
                yield Sentence(f"line {start}", words)
            words = []
            continue
        width = width or len(values)
        if len(values) != width:
            counts = f"{len(values)} values; allowed: {width}, as in the lines before"
            raise SentenceError(f", line {number}: {counts}")
        start = start if words else number
        words.append(values)
    if words:
        yield Sentence(f"line {start}", words)


def _values(line: str, delimiter: str | None) -> list[str]:
    if not line.strip():
        return []
    if delimiter is None and "\t" not in line:
        return line.split()
    return [value.strip() for value in line.rstrip("\r\n").split(delimiter or "\t")]
