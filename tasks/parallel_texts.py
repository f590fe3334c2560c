"""Texts side by side, as those of a translation: line i of a file belongs to line i of the others.

A line ends with a line feed, and with nothing else: other signs that Python takes for the end of a
line (U+0085, U+2028, a form feed) stand inside of lines, and would shift all that follow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from finegrid.records.prepared import SplitName
from tasks.table_files import Format, Row, TableError, Wanted, errors
from tasks.text_streams import NEW_LINE, opened

SIDE = "*"
"""What stands for the words that tell the names of files apart that lie side by side."""
LEFT_OUT = "lines without a text in each of the files side by side"
_MARKUP = re.compile(r"\s*<(\?xml|!DOCTYPE|tmx|mteval|srcset|refset|tstset|doc|url|seg)\b", re.I)
"""What the files of WMT's tests (SGML) and IWSLT's talks begin with, a line of which is no text."""
Sets = dict[str, tuple[str, ...]]
"""A name with a star -> the files that lie side by side, one a column, in the columns' order."""


def side_by_side(names: Sequence[str], columns: Sequence[str | int]) -> Sets:
    """The files, by their names, of which each column has one; names of others are passed over.

    `train.en` and `train.de` are `train.*` of the columns en and de. Raises TableError for a file
    that may lie beside one and beside another.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        for column in map(str, columns):
            for masked in masks(name, column):
                found.setdefault(masked, {}).setdefault(column, name)
    sets: dict[tuple[str, ...], str] = {}
    for masked, sides in found.items():
        files = tuple(sides.get(str(column), "") for column in columns)
        if "" not in files and len({*files}) == len(files):
            sets.setdefault(files, masked)
    every = [file for files in sets for file in files]
    if twice := next((file for file in every if every.count(file) > 1), None):
        problem = f"{twice!r} may lie beside several files by its name"
        raise TableError(("files",), f"{problem}; allowed: names that differ in one word")
    return {masked: files for files, masked in sets.items()}


def masks(name: str, word: str) -> list[str]:
    """The name with a star in place of a word, once or wherever it stands; none without it."""
    pattern = re.compile(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])")
    once = [f"{name[: one.start()]}{SIDE}{name[one.end() :]}" for one in pattern.finditer(name)]
    return [*once, pattern.sub(SIDE, name)] if len(once) > 1 else once


def parts(files: Sequence[Path], columns: Wanted, split: SplitName) -> list[tuple[Path, ...]]:
    """The files of a split that lie side by side, in the order of the columns.

    They are several sets where a split has several parts. Raises TableError for a file that lies
    beside none.
    """
    wanted = [*columns.values()]
    paths = {Path(os.path.abspath(path)): path for path in files}  # noqa: PTH100  # links stay
    above = os.path.commonpath([path.parent for path in paths])
    named = {path.relative_to(above).as_posix(): given for path, given in paths.items()}
    found = side_by_side([*named], wanted).values()
    alone = sorted({*named} - {name for one in found for name in one})
    if alone:
        raise TableError(("files", split), f"{alone[0]!r} lies beside no file; {_allowed(wanted)}")
    return [tuple(named[name] for name in one) for one in found]


def _allowed(columns: Sequence[str | int]) -> str:
    names = ", ".join(map(str, columns))
    example = " and ".join(f"train.{column}" for column in columns)
    return f"allowed: a file for each of {names}, whose names differ in that alone, as {example}"


def check_found(sets: Sets, columns: Sequence[str | int], names: str) -> None:
    """Refuse a folder without texts side by side. Raises TableError."""
    if not sets:
        raise TableError(("files",), f"no texts side by side among {names}; {_allowed(columns)}")


def lines(files: Sequence[Path], split: str, how: Format) -> Iterator[Row]:
    """The lines of files side by side. Raises TableError where one has more, and OSError."""
    streams = [_lines(path, split, how) for path in files]
    for number, texts in enumerate(zip_longest(*streams), 1):
        if None in texts:
            ends = zip(files, texts, streams, strict=True)
            counts = [
                f"{path.name} has {number - 1 if text is None else number + sum(1 for _ in stream)}"
                for path, text, stream in ends
            ]
            allowed = "allowed: as many in each, for line i of one belongs to line i of the others"
            raise TableError(("files", split), f"lines: {', '.join(counts)}; {allowed}")
        yield f"line {number}", texts


def _lines(path: Path, split: str, how: Format) -> Iterator[str]:
    """Lines that end with a line feed, or with what programs on Windows put before it."""
    with errors(path, split, how), opened(path, how.encoding, NEW_LINE) as stream:
        for number, line in enumerate(stream, 1):
            if number == 1 and _MARKUP.match(line):
                allowed = "allowed: a text a line, without the markup of a file about it"
                problem = f"{path.name}, line 1: {line.strip():.40} is markup"
                raise TableError(("files", split), f"{problem}; {allowed}")
            yield line.removesuffix(NEW_LINE).removesuffix("\r")


def examples(
    files: Sequence[Path], columns: Wanted, split: SplitName, how: Format
) -> Iterator[Row]:
    """The lines that have a text for each key of the columns; blank ones count in alignment alone.

    Raises TableError and OSError.
    """
    return (row for row in lines(files, split, how) if is_example(columns, row[1]))


def is_example(columns: Wanted, texts: Sequence[str]) -> bool:
    """Whether no key of the columns is blank, as one is of which all columns are."""
    filled: dict[str, bool] = {}
    for key, text in zip(columns, texts, strict=True):
        name = key.partition("[")[0]
        filled[name] = filled.get(name, False) or bool(text.strip())
    return all(filled.values())


def left_out(
    files: Mapping[SplitName, Sequence[Path]], columns: Wanted, how: Format
) -> dict[SplitName, int]:
    """How many lines of each split are no examples, where some are not.

    Raises TableError and OSError.
    """
    found: dict[SplitName, int] = {}
    for split, paths in files.items():
        rows = (row for one in parts(paths, columns, split) for row in lines(one, split, how))
        if count := sum(not is_example(columns, texts) for _, texts in rows):
            found[split] = count
    return found
