"""How table files are likely to be written: their first lines, and what no line says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

from finegrid.planning.guess_columns import MOST_CLASSES, NUMBER, key_of
from finegrid.planning.guess_words import names_spans
from kinds.outputs.tag_schemes import OUTSIDE
from tasks.table_files import (
    DELIMITERS,
    ENDINGS,
    SPACE,
    Format,
    TableError,
    column_names,
    ending_of,
    errors,
    has_comments,
    read_rows,
)
from tasks.text_streams import opened

_TEXTS = (".txt", ".tsv")
_FEWEST = 3
"""Columns that have numbers for names where one has another; words of a sentence on average."""
_NUMBERS = re.compile(rf"(^|\s)({NUMBER.pattern}) +({NUMBER.pattern})(\s|$)")
"""A number that follows on another, with spaces between the two."""
_LINES = 1000
"""Of a file, where one that is blank ends a sentence."""
_ENDS = (".", "!", "?")
"""What a sentence ends with."""
_TOLD_BY = (
    *("sentence", "sentenceid", "sentenceidx", "sentenceno", "sentencenumber", "sentencenum"),
    *("sentid", "sentidx", "sentno", "sent"),
)
"""Usual names of a column that tells the sentence of a word."""
_MOST_WORDS = 3
"""Of a name of a column, where all are longer."""
_ROWS = 50
"""That are looked at for sentences."""


def guess_format(path: Path, how: Format, reasons: list[str]) -> Format:
    """The format of a file, with what it does not say of itself. Raises TableError and OSError."""
    how = _with_spaces(path, _with_sentences(path, how, reasons), reasons)
    how = _with_comments(path, _with_header(path, how, reasons), reasons)
    return _with_words(path, how, reasons)


def _with_spaces(path: Path, how: Format, reasons: list[str]) -> Format:
    """Whether spaces divide the values: in each line some number follows on another.

    So it is as well where tabs do, of which some lines have more than others.
    """
    if ending_of(path.name) not in DELIMITERS or how.sentences or how.delimiter:
        return how
    with errors(path, "train", how), opened(path, how.encoding) as stream:
        follow = all(map(_NUMBERS.search, islice(filter(str.strip, stream), _ROWS)))
    if not follow and _first_columns(path, how)[1]:
        return how
    spaced = how.model_copy(update={"delimiter": SPACE})
    columns, is_whole = _first_columns(path, spaced)
    of_numbers = (all(map(NUMBER.fullmatch, column[1:])) for column in columns)
    if not is_whole or len(columns) < 2 or not any(of_numbers):
        return how  # texts have spaces in them, of which some lines have more
    reasons.append(f"spaces divide the {len(columns)} values of each line")
    return spaced


def _first_columns(path: Path, how: Format) -> tuple[list[list[str]], bool]:
    """The first values of each column, and whether each line that was looked at has all of them."""
    how = how.model_copy(update={"header": False})
    rows = list[Sequence[str]]()
    try:
        wanted = {str(at): at for at in column_names(path, "train", how)}
        rows.extend(values for _, values in islice(read_rows(path, wanted, "train", how), _ROWS))
    except TableError:
        return list(map(list, zip(*rows, strict=True))), False
    return list(map(list, zip(*rows, strict=True))), True


def _with_words(path: Path, how: Format, reasons: list[str]) -> Format:
    """Whether a table has a row for each word, with a column that tells the sentence."""
    if ending_of(path.name) not in DELIMITERS or how.sentences or not how.header:
        return how
    names = [str(name) for name in column_names(path, "train", how)]
    told = next((name for name in names if key_of(name) in _TOLD_BY), None)
    if told is None or len({*names}) < len(names):
        return how
    rows = islice(read_rows(path, {name: name for name in names}, "train", how), _LINES)
    columns = dict(zip(names, zip(*(values for _, values in rows), strict=True), strict=True))
    of_each = [one for name, one in columns.items() if name != told]
    tags = next((one for one in of_each if _are_tags([*map(str.strip, one)])), None)
    if tags is None or not any(_are_words(one) for one in of_each if one is not tags):
        return how
    tag = max(set(map(str.strip, tags)) - {OUTSIDE}, default=OUTSIDE)
    reasons.append(f"a word a row, for {tag!r} is a tag; {told} tells the sentence")
    return how.model_copy(update={"sentence": told})


def _are_words(values: Sequence[str]) -> bool:
    """Whether values are words that are not all numbers."""
    one_each = all(len(value.split()) <= 1 for value in values)
    return one_each and not all(NUMBER.fullmatch(value.strip()) for value in values)


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
    with errors(path, "train", how), opened(path, how.encoding) as stream:
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
