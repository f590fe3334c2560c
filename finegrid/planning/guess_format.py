"""How table files are likely to be written: their first lines, and what no line says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

from finegrid.planning.guess_columns import MOST_CLASSES, NUMBER
from finegrid.planning.guess_words import names_spans
from kinds.outputs.tag_schemes import OUTSIDE
from tasks.table_files import (
    DELIMITERS,
    ENDINGS,
    Format,
    TableError,
    column_names,
    ending_of,
    has_comments,
    read_rows,
)
from tasks.text_streams import opened

_TEXTS = (".txt", ".tsv")
_FEWEST = 3
"""Columns that have numbers for names where one has another; words of a sentence on average."""
_LINES = 1000
"""Of a file, where one that is blank ends a sentence."""
_ENDS = (".", "!", "?")
"""What a sentence ends with."""
_MOST_WORDS = 3
"""Of a name of a column, where all are longer."""
_ROWS = 50
"""That are looked at for sentences."""


def guess_format(path: Path, how: Format, reasons: list[str]) -> Format:
    """The format of a file, with what it does not say of itself. Raises TableError and OSError."""
    how = _with_sentences(path, how, reasons)
    return _with_comments(path, _with_header(path, how, reasons), reasons)


def _with_sentences(path: Path, how: Format, reasons: list[str]) -> Format:
    """Whether a text file has a word a line, of which some column holds tags of entities."""
    ending = ending_of(path.name)
    if (ending in ENDINGS and ending not in _TEXTS) or not _has_blank_lines(path, how):
        return how
    as_words = how.model_copy(update={"sentences": True})
    as_words = as_words.model_copy(update={"comments": has_comments(path, as_words)})
    try:
        wanted = {str(name): name for name in column_names(path, "train", as_words)}
        rows = list(islice(read_rows(path, wanted, "train", as_words), _ROWS))
    except TableError:  # it has not as many values in each line
        return how
    columns = zip(*(values for _, values in rows), strict=True)
    tags = next(filter(_are_tags, (list(chain.from_iterable(one)) for one in columns)), None)
    if tags is None or len(tags) < _FEWEST * len(rows):
        return how
    reasons.append(f"a word a line, for a value of each line is a tag, as {max(tags)!r}")
    return as_words.model_copy(update={"comments": False})


def _are_tags(values: Sequence[str]) -> bool:
    """Whether values are tags: of entities, or a few, as their types are, and that of no entity."""
    different = {*values}
    are_types = OUTSIDE in different and 2 * len(different) <= len(values)
    return names_spans(different) or (are_types and len(different) <= MOST_CLASSES)


def _has_blank_lines(path: Path, how: Format) -> bool:
    """Whether a line among the first is blank, as behind a sentence."""
    with opened(path, how.encoding) as stream:
        return any(not line.strip() for line in islice(stream, _LINES))


def _with_header(path: Path, how: Format, reasons: list[str]) -> Format:
    """Whether the first line names the columns: a number is no name, nor are texts alone."""
    if ending_of(path.name) not in DELIMITERS or how.sentences:
        return how
    first = [str(name).strip() for name in column_names(path, "train", how)]
    values = [name for name in first if NUMBER.fullmatch(name)]
    are_texts = len(first) > 1 and all(map(_is_text, first))
    values = values or (first if are_texts else [])
    if not values or _are_counted(first, values):
        return how
    reasons.append(f"no header, for the first line holds {values[0]!r}: columns by their numbers")
    return how.model_copy(update={"header": False})


def _are_counted(first: Sequence[str], numbers: Sequence[str]) -> bool:
    """Whether the columns are numbered from 0 or 1 on, as programs do, but for one with a name."""
    counted = [list(map(str, range(start, start + len(numbers)))) for start in (0, 1)]
    return [*numbers] in counted and len(first) - len(numbers) <= (len(numbers) >= _FEWEST)


def _is_text(name: str) -> bool:
    return name.endswith(_ENDS) or len(name.split()) > _MOST_WORDS


def _with_comments(path: Path, how: Format, reasons: list[str]) -> Format:
    """Whether lines of # are no words, of a file with a word a line."""
    if not has_comments(path, how):
        return how
    reasons.append("lines of # before a sentence are no words")
    return how.model_copy(update={"comments": True})
