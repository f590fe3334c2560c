"""Rows of table files, CSV, TSV, JSON or parquet, each with its place in the file."""

from __future__ import annotations

import codecs
import csv
import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from finegrid.records.base import Record
from finegrid.records.identity import text_files
from tasks import json_files, parquet_files, sentence_files, tmx_files, word_rows
from tasks.json_files import JsonError
from tasks.parquet_files import ParquetError
from tasks.sentence_files import SentenceError
from tasks.text_streams import opened, opened_bytes, undecodable
from tasks.tmx_files import TmxError

DELIMITERS = {".csv": ",;\t", ".tsv": "\t", ".txt": "\t,;", ".data": ",;\t"}
SPACE = " "
PARQUET = ".parquet"
TMX = tmx_files.ENDING
ENDINGS = (*DELIMITERS, *json_files.ENDINGS, PARQUET, *sentence_files.ENDINGS, TMX)
"""What the names of table files end with, before a `.gz`."""
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
TEXT_FOLDER = ("text", "label", "file")
"""The columns of a folder of texts: a file is a row, the folder's name its label."""
_SHOWN_COLUMNS, _SHOWN_SIGNS = 20, 40
_SENTENCE = "sentence"
Row = tuple[str, tuple[Any, ...]]
"""Where a row stands, `line 3` or `row 3`, and the values of the wanted columns."""
Wanted = Mapping[str, str | int]
"""The key of a column in a benchmark -> its name, or its number where the file has no header."""


def column_name(value: Any) -> str | int:
    """A name, or a number. Raises ValueError for what is neither."""
    if (isinstance(value, str) and value) or (type(value) is int and value >= 0):
        return value
    raise ValueError("allowed: a name, or a number from 0 on where the file has no header")


ColumnName = Annotated[str | int, PlainValidator(column_name, json_schema_input_type=str | int)]


def _text_encoding(name: str) -> str:
    """Raises ValueError for what is no encoding of text that Python knows."""
    try:
        found = codecs.lookup(name)
    except LookupError:
        found = None
    if found is None or not getattr(found, "_is_text_encoding", True):
        raise ValueError(
            "allowed: a name that Python knows, such as utf-8, utf-16, cp1252, latin-1"
        )
    return name


def _as_tuple(values: Any) -> Any:
    """One value alone is a list of one."""
    several = (values,) if isinstance(values, str) else values
    return tuple(several) if isinstance(several, list) else several


class Format(Record):
    """What a table file does not say of itself."""

    encoding: Annotated[str, AfterValidator(_text_encoding)] | None = None
    """None: UTF-8, or UTF-16 that begins with its mark."""
    header: bool = True
    """Whether the first line of CSV or TSV names the columns; else they are numbered from 0 on."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """None: the comma, the semicolon or the tab that the first line speaks for."""
    quotes: bool = True
    """Whether quotes stand about values; else a quote is a sign like any other."""
    sentences: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Whether a line is a word and a blank line ends a sentence, whatever a file's name ends in."""
    sentence: Annotated[ColumnName | None, Field(exclude_if=lambda value: value is None)] = None
    """A column that tells the sentence, in a table of a word a row: blank where it goes on."""
    comments: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Whether lines before a sentence of such a file that begin with # are no words."""
    parallel: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Whether line i of each file of a split belongs to line i of the others, as in a translation:
    a column is what tells the file's name from theirs."""

    decimal: Annotated[Literal[".", ","], Field(exclude_if=lambda value: value == ".")] = "."
    """What stands before the decimals of a number."""
    thousands: Annotated[
        Annotated[str, Field(min_length=1, max_length=1)] | None,
        Field(exclude_if=lambda value: value is None),
    ] = None
    """What stands between the thousands of a number, if anything does."""
    missing: Annotated[
        tuple[str, ...], BeforeValidator(_as_tuple), Field(exclude_if=lambda value: not value)
    ] = ()
    """What says of a feature that there is none, as a blank does."""

    def has_sentences(self, name: str) -> bool:
        """Whether a file of that name has a word a line."""
        return self.sentences or ending_of(name) in sentence_files.ENDINGS

    def layout(self, name: str) -> sentence_files.Layout:
        """How the lines of a file of that name are read."""
        universal = ending_of(name) in sentence_files.UNIVERSAL
        return sentence_files.Layout(universal, self.comments, self.delimiter)


PLAIN = Format()


class TableError(ValueError):
    """A table file that cannot be used. `key` says which part of a task's entry is at fault."""

    def __init__(self, key: tuple[str, ...], problem: str) -> None:
        super().__init__(f"{'.'.join(key)}: {problem}")
        self.key, self.problem = key, problem


def ending_of(name: str) -> str:
    """What a name ends with, in small letters and without the `.gz` of a compressed file."""
    return Path(name.lower().removesuffix(".gz")).suffix


def read_rows(path: Path, columns: Wanted, split: str, how: Format = PLAIN) -> Iterator[Row]:
    """The rows of a file, or of a folder of texts, with the values of `columns`.

    Lines without any value are no rows. A value of CSV or TSV is text. Raises TableError, and
    OSError.
    """
    if how.sentence is not None:
        words = how.model_copy(update={"sentence": None})
        wanted = {**columns, _SENTENCE: how.sentence}
        yield from word_rows.sentences(read_rows(path, wanted, split, words))
        return
    with errors(path, split, how):
        if path.is_dir():
            yield from _texts(path, columns)
        elif how.has_sentences(path.name):
            yield from _sentences(path, columns, how)
        elif (ending := _known_ending(path, split)) in DELIMITERS:
            yield from _delimited(path, columns, how)
        elif ending in json_files.ENDINGS:
            yield from _json(path, columns, how)
        else:
            yield from _tmx(path, columns) if ending == TMX else _parquet(path, columns)


def column_names(path: Path, split: str, how: Format = PLAIN) -> list[str | int]:
    """The columns of a file, by their names or, where it has no header, by their numbers.

    Those of JSON are the keys of the first objects, and of records in them. Raises TableError and
    OSError.
    """
    with errors(path, split, how):
        if path.is_dir():
            return list(TEXT_FOLDER)
        if how.has_sentences(path.name):
            with opened(path, how.encoding) as stream:
                return sentence_files.column_names(stream, how.layout(path.name))
        if (ending := _known_ending(path, split)) == PARQUET:
            return list(parquet_files.names(path))
        if ending == TMX:
            return list(_languages(path))
        with opened(path, how.encoding) as stream:
            if ending in json_files.ENDINGS:
                return [*json_files.all_keys(stream, ending)]
            delimiter = how.delimiter or _delimiter(path, {}, how)
            first = next(_records(_reader(stream, delimiter, how)), ("", []))[1]
            return list(first) if how.header else list(range(len(first)))


def _known_ending(path: Path, split: str) -> str:
    if (ending := ending_of(path.name)) not in ENDINGS:
        allowed = (
            f"allowed endings: {', '.join(ENDINGS)}, with or without .gz; or format.sentences: "
            "true for a word and its tag a line; or format.parallel: true with all files of the "
            "split, of which line i belongs to line i of the others"
        )
        if ending in _WORKBOOKS:
            allowed = f"a workbook, to be saved as CSV in UTF-8, a sheet each; {allowed}"
        raise TableError(("files", split), f"{path.name}: {allowed}")
    return ending


@contextmanager
def errors(path: Path, split: str, how: Format) -> Iterator[None]:
    """Whatever is wrong inside a file becomes a TableError."""
    try:
        yield
    except UnicodeError as error:
        raise TableError(("files", split), undecodable(path, how.encoding)) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(("files", split), f"{path.name}: no whole gzip file: {error}") from error
    except (_FileError, JsonError, ParquetError, SentenceError, TmxError) as error:
        raise TableError(("files", split), f"{path.name}{error}") from error


class _FileError(Exception):
    """What is wrong inside a file, after the file's name: `, line 3: ...`."""


def _places(path: Path, names: Sequence[str | int], columns: Wanted) -> list[int]:
    """Where the wanted columns stand among those that a file has."""
    counts = Counter(names)
    for key, name in columns.items():
        said = ("format" if key == _SENTENCE else "columns", key)
        if name not in counts:
            raise TableError(said, _no_column(path, name, names))
        if counts[name] > 1:
            twice = f"{path.name} has {counts[name]} columns {name!r}; allowed: one of that name"
            raise TableError(said, twice)
    return [names.index(name) for name in columns.values()]


def _no_column(path: Path, name: str | int, names: Sequence[str | int]) -> str:
    numbered = bool(names) and isinstance(names[0], int)
    if numbered and isinstance(name, str):
        has = f"0 to {len(names) - 1}, for no line of it names columns"
    elif numbered:
        has = f"0 to {len(names) - 1}"
    elif isinstance(name, int):
        has = "a name, or format.header: false with columns by their numbers"
    else:
        shown = [
            repr(one if len(one) <= _SHOWN_SIGNS else f"{one[:_SHOWN_SIGNS]}...")
            for one in map(str, names[:_SHOWN_COLUMNS])
        ]
        has = ", ".join(shown) + (", ..." if len(names) > _SHOWN_COLUMNS else "")
    return f"{path.name} has no column {name!r}; allowed: {has}"


def _delimited(path: Path, columns: Wanted, how: Format) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    delimiter = how.delimiter or _delimiter(path, columns, how)
    with opened(path, how.encoding) as stream:
        records = _records(_reader(stream, delimiter, how))
        place, first = next(records, ("", []))
        if not first:
            named = "a first line with the names of the columns" if how.header else "rows"
            raise _FileError(f" is empty; allowed: {named}")
        places = _places(path, first if how.header else range(len(first)), columns)
        if not how.header:
            yield place, tuple(first[at] for at in places)
        for place, values in records:
            if len(values) != len(first) and (
                len(values) < len(first) or any(values[len(first) :])
            ):
                raise _FileError(
                    f", {place}: {len(values)} values; allowed: {len(first)}, one a column"
                )
            yield place, tuple(map(values.__getitem__, places))


def _reader(stream: IO[str], delimiter: str, how: Format) -> Any:
    """A space divides as several do, and as tabs do."""
    said: Any = {"delimiter": delimiter, "skipinitialspace": delimiter == SPACE, "strict": True}
    said["quoting"] = csv.QUOTE_MINIMAL if how.quotes else csv.QUOTE_NONE
    as_one = (line.replace("\t", SPACE).strip() for line in stream)
    return csv.reader(as_one if delimiter == SPACE else stream, **said)


def _records(reader: Any) -> Iterator[tuple[str, list[str]]]:
    """The records with the line that each begins at: a quoted text may go over several."""
    while True:
        start = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            rule = (
                "allowed: quotes about a whole value, and twice inside of it; "
                "or format.quotes: false, where quotes are signs like any other"
            )
            raise _FileError(f", the record from line {start}: {error}; {rule}") from error
        if values is None:
            return
        if "".join(values).strip():
            yield f"line {start}", values


def _delimiter(path: Path, columns: Wanted, how: Format) -> str:
    """The delimiter under which the first line names most of the wanted columns, then most."""
    headers: dict[str, list[str]] = {}
    for delimiter in DELIMITERS[ending_of(path.name)]:
        with opened(path, how.encoding) as stream:
            try:
                headers[delimiter] = next(_reader(stream, delimiter, how), [])
            except csv.Error:
                headers[delimiter] = []
    wanted = set(columns.values())
    return max(headers, key=lambda one: (len(wanted & set(headers[one])), len(headers[one])))


def _json(path: Path, columns: Wanted, how: Format) -> Iterator[Row]:
    """The objects of a list, or of lines; a key that some objects lack has no value there."""
    wanted, has = [*map(str, columns.values())], dict[str, None]()
    with opened(path, how.encoding) as stream:
        for place, found in json_files.rows(stream, ending_of(path.name)):
            values = tuple(json_files.value_at(found, name) for name in wanted)
            there = (name for name, one in zip(wanted, values, strict=True) if one is not None)
            has |= dict.fromkeys((*found, *there))
            yield place, values
    _places(path, list(has), columns)


def _sentences(path: Path, columns: Wanted, how: Format) -> Iterator[Row]:
    """Sentences: a value is a list with one of each word. Columns with names have numbers too."""
    layout = how.layout(path.name)
    with opened(path, how.encoding) as stream:
        names = sentence_files.column_names(stream, layout)
    if not names:
        return
    places = [
        at
        for key, name in columns.items()
        for at in _places(path, range(len(names)) if isinstance(name, int) else names, {key: name})
    ]
    with opened(path, how.encoding) as stream:
        for one in sentence_files.sentences(stream, layout):
            if (count := len(one.words[0])) != len(names):
                allowed = f"allowed: {len(names)}, one a column"
                raise _FileError(f", {one.place}: {count} values; {allowed}")
            yield one.place, tuple(map(one.column, places))


def _parquet(path: Path, columns: Wanted) -> Iterator[Row]:
    _places(path, parquet_files.names(path), columns)
    for number, values in enumerate(parquet_files.rows(path, list(columns.values())), 1):
        yield f"row {number}", values


def _tmx(path: Path, columns: Wanted) -> Iterator[Row]:
    """The units of a translation memory; one without a text in a language has no value there."""
    wanted, has = [*map(str, columns.values())], dict[str, None]()
    with opened_bytes(path) as stream:
        for number, texts in enumerate(tmx_files.units(stream), 1):
            has |= dict.fromkeys(texts)
            yield f"unit {number}", tuple(map(texts.get, wanted))
    _places(path, list(has), columns)


def _languages(path: Path) -> list[str]:
    with opened_bytes(path) as stream:
        return tmx_files.languages(stream)


def has_comments(path: Path, how: Format = PLAIN) -> bool:
    """Whether a file of sentences, other than CoNLL-U, begins with lines of # that are no words.

    Raises TableError and OSError.
    """
    layout = how.layout(path.name)
    if not how.has_sentences(path.name) or layout.universal:
        return False
    with errors(path, "train", how), opened(path, how.encoding) as stream:
        return sentence_files.has_comments(stream, layout)


def stored_names(path: Path, column: str | int) -> tuple[str, ...]:
    """The names of a column's classes that a file of parquet keeps; none elsewhere.

    Raises TableError and OSError.
    """
    if ending_of(path.name) != PARQUET:
        return ()
    with errors(path, "train", PLAIN):
        return parquet_files.class_names(path, column)


def stored_files(path: Path) -> tuple[str, ...]:
    """The columns of a file of parquet that hold whole files; none elsewhere.

    Raises TableError and OSError.
    """
    if ending_of(path.name) != PARQUET or not path.is_file():
        return ()
    with errors(path, "train", PLAIN):
        return parquet_files.file_columns(path)


def _texts(folder: Path, columns: Wanted) -> Iterator[Row]:
    """The texts of a folder, each labelled with the folder's name, in UTF-8."""
    _places(folder, TEXT_FOLDER, columns)
    for path in text_files(folder):
        try:
            found = {"text": path.read_text("utf-8-sig"), "label": folder.name, "file": path.name}
        except UnicodeDecodeError as error:
            raise _FileError(f"/{path.name} is no UTF-8; allowed: a file in UTF-8") from error
        yield f"{folder.name}/{path.name}", tuple(found[str(name)] for name in columns.values())
