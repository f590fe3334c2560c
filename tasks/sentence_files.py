"""Files of a word a line, as those of the CoNLL tasks: a blank line ends a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

UNIVERSAL = (".conllu", ".conllup")
ENDINGS = (
    *(".conll", *UNIVERSAL, ".iob", ".iob2", ".bio"),
    *(".v4_gold_conll", ".v4_auto_conll", ".gold_conll", ".auto_conll"),
)
FIELDS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
"""The columns of CoNLL-U, as universaldependencies.org/format names them."""
_DOCUMENT = "-DOCSTART-"
"""The word of a line that begins a document, and is no sentence."""
_COMMENT = "#"
_BEGIN, _END = "#begin document", "#end document"
"""What lines about a document of CoNLL-2012 begin with, whose sentences differ in their columns."""
_LOOKED_AT = 1000
"""Lines that tell whether some are no words."""
_FIXED = 11
"""The columns that each of these sentences has: document, part, number, word, part of speech,
parse, lemma, frameset, sense, speaker and name; those of its predicates follow."""
_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
"""What names the columns of CoNLL-U Plus, in the first line of a file."""
_NO_WORD = re.compile(r"\d+-\d+|\d+\.\d+")
"""The ID of a token of several words, which follow, or of an empty node."""


_UNREAD = (
    "numbers a token of several words or an empty node of CoNLL-U, which is no word; allowed: a "
    "name that ends in .conllu"
)


class SentenceError(Exception):
    """What is wrong inside a file, after the file's name."""


class Sentence(NamedTuple):
    """The lines of a sentence, each of as many values."""

    place: str
    words: list[list[str]]

    def column(self, at: int) -> list[str]:
        """The values of a column, a word each."""
        return [word[at] for word in self.words]


class Layout(NamedTuple):
    """How the lines of a file are read."""

    universal: bool = False
    """Whether it is CoNLL-U: columns have names, and lines that are no words of a text are none."""
    comments: bool = False
    """Whether lines before the first word of a sentence that begin with # are none."""
    delimiter: str | None = None
    """What divides values; None: tabs where a line has any, else spaces."""


def column_names(lines: Iterable[str], layout: Layout) -> list[str | int]:
    """The columns of a file: their names in CoNLL-U, else their numbers. Raises SentenceError."""
    if not layout.universal:
        first = next(sentences(lines, layout), None)
        return list(range(len(first.words[0]))) if first else []
    named = _COLUMNS.match(next(iter(lines), ""))
    return [*named[1].split()] if named else [*FIELDS]


def has_comments(lines: Iterable[str], layout: Layout) -> bool:
    """Whether lines of # before sentences are no words, by the first lines of a file.

    They have more or less values than the first line of another sign, or begin every sentence.
    """
    looked_at = list(islice(lines, _LOOKED_AT))
    counts = [len(_values(line, layout.delimiter)) for line in looked_at]
    said = [line.startswith(_COMMENT) for line in looked_at]
    firsts = [one for at, one in enumerate(said) if counts[at] and (at == 0 or not counts[at - 1])]
    if len(firsts) > 1 and all(firsts):
        return True
    words = next((at for at, count in enumerate(counts) if count and not said[at]), None)
    return words is not None and bool({*counts[:words]} - {0, counts[words]})


def sentences(lines: Iterable[str], layout: Layout) -> Iterator[Sentence]:
    """The sentences of a file, each at the line that it begins at.

    Raises SentenceError for a line with more or less values than the first one has.
    """
    start, words, width, first = 0, list[list[str]](), 0, ""
    of_documents = False
    for number, line in enumerate(lines, 1):
        of_documents = of_documents or line.startswith(_BEGIN)
        may_say = layout.universal or (layout.comments and not words)
        is_said = of_documents and line.startswith((_BEGIN, _END))
        if is_said or (may_say and line.startswith(_COMMENT)):
            continue
        values = _values(line, layout.delimiter)
        if not values or values[0] == _DOCUMENT:
            if words:
                yield Sentence(f"line {start}", words)
            words = []
            width = 0 if of_documents else width
            continue
        width, first = width or len(values), first or line
        if len(values) != width:
            raise SentenceError(f", line {number}: {_other_width(len(values), width, line, first)}")
        if _NO_WORD.fullmatch(values[0]) and (layout.universal or _is_universal(values, words)):
            if layout.universal:
                continue
            raise SentenceError(f", line {number}: {values[0]!r} {_UNREAD}")
        start = start if words else number
        words.append(values[:_FIXED] if of_documents else values)
    if words:
        yield Sentence(f"line {start}", words)


def _is_universal(values: Sequence[str], before: Sequence[Sequence[str]]) -> bool:
    """Whether a line is one of CoNLL-U: of its columns the first numbers the words so far."""
    numbers = [word[0] for word in before]
    return len(values) == len(FIELDS) and numbers == [str(at + 1) for at in range(len(numbers))]


def _other_width(count: int, width: int, *lines: str) -> str:
    may_say = any(line.startswith(_COMMENT) for line in lines)
    hint = "; or format.comments: true, where lines of # before a sentence are no words"
    return f"{count} values; allowed: {width}, as in the lines before{hint if may_say else ''}"


def _values(line: str, delimiter: str | None) -> list[str]:
    if not line.strip():
        return []
    if delimiter is None and "\t" not in line:
        return line.split()
    return [value.strip() for value in line.rstrip("\r\n").split(delimiter or "\t")]
