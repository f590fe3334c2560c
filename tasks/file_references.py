"""Several texts of a user's own files that are all right for one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kinds.contract import Row, RowError
from kinds.inputs.values import plain, short, text_of
from tasks.file_kinds import Needs
from tasks.file_options import Columns, as_text
from tasks.table_files import TableError

if TYPE_CHECKING:
    import pyarrow as pa

ReferencesAre = Literal["list", "columns", "rows"]
"""Where the texts stand that are right for a source: in a list of its row, in several columns of
its row, or in a row each."""
BETWEEN = "\n\n"
"""What stands between the columns that make a text together."""
Dividing = Mapping[str, tuple[str, str | int | None]]
"""A column of a table by which rows are divided -> the key of `split` for it, and its name."""
_DROP = "which leaves such rows out"


def check_references(form: ReferencesAre, columns: Columns, needs: Needs) -> None:
    """Refuse columns that hold no several texts of a source. Raises TableError."""
    (truth,) = needs.truth
    for name in needs.composed:
        if columns.get(name) is not None:
            problem = f"{form!r} beside columns.{name}, of which each has one answer"
            raise TableError(("references",), f"{problem}; allowed: no such key")
    if not any(columns.get(name) is not None for name in needs.texts):
        allowed = f"allowed: beside columns.{needs.texts[0]}"
        raise TableError(("references",), f"{form!r}, and there is no source; {allowed}")
    given = columns[truth]
    if isinstance(given, tuple) != (form == "columns"):
        several = isinstance(given, tuple)
        shown = list(given) if isinstance(given, tuple) else given
        allowed = "one column, or references: columns" if several else "a list of columns"
        problem = f"{shown!r} is not allowed beside references: {form}; allowed: {allowed}"
        raise TableError(("columns", truth), problem)


@dataclass(frozen=True)
class SeveralTexts:
    """Makes a row of the texts of its source, and of the list of texts that are right for it."""

    form: ReferencesAre
    truth: str
    """The column of these."""

    def row(self, values: Mapping[str, Any]) -> Row:
        """The row, of values by column; a tuple is of several columns. Raises RowError."""
        return {
            name: self._texts(value) if name == self.truth else _source(name, value)
            for name, value in values.items()
        }

    def _texts(self, value: Any) -> list[str]:
        """The texts that are right: one or more, none of them blank."""
        if self.form == "list":
            return self._listed(plain(value))
        if self.form == "rows":
            return [_text(self.truth, value, "one text, or references: list")]
        found = [_one(self.truth, one, "one text a column, or a blank") for one in value]
        texts = list(filter(str.strip, found))
        if not texts:
            raise RowError(self.truth, "blank in all columns; allowed: 1 text or more")
        return texts

    def _listed(self, found: Any) -> list[str]:
        if not isinstance(found, list):
            raise RowError(self.truth, f"{short(found)} is no list; allowed: a list of texts")
        if not found:
            allowed = f'allowed: 1 text or more; or drop: {{{self.truth}: [""]}}, {_DROP}'
            raise RowError(self.truth, f"an empty list; {allowed}")
        for one in found:
            if not text_of(one).strip():
                raise RowError(self.truth, f"{short(one)} in a list is no text; allowed: texts")
        return list(map(text_of, found))


def _source(name: str, value: Any) -> str:
    """A text, of one column or of several, of which the first is never blank."""
    first, *more = value if isinstance(value, tuple) else (value,)
    texts = [_text(name, first, "text"), *(_one(name, one, "text, or a blank") for one in more)]
    return BETWEEN.join(filter(str.strip, texts))


def _text(name: str, value: Any, allowed: str) -> str:
    """A text that is not blank."""
    text = _one(name, value, allowed)
    if not text.strip():
        raise RowError(name, f'blank; allowed: text; or drop: {{{name}: [""]}}, {_DROP}')
    return text


def _one(name: str, value: Any, allowed: str) -> str:
    """A text, which may be blank."""
    if isinstance(value, list | dict | bytes):
        raise RowError(name, f"{short(value)} is no text; allowed: {allowed}")
    return as_text(value)


def by_source(
    rows: pa.Table, sources: Sequence[str], truth: str, dividing: Dividing, file: str
) -> pa.Table:
    """A row for each source, in the order of their first rows, with the texts of all of them.

    Raises TableError where rows of one source would be divided.
    """
    import pyarrow as pa

    given = zip(*(rows[name].to_pylist() for name in sources), strict=True)
    number: dict[tuple[str, ...], int] = {}
    numbers = [number.setdefault(source, len(number)) for source in given]
    firsts: list[int] = []
    texts: list[list[str]] = [[] for _ in number]
    for at, (source, own) in enumerate(zip(numbers, rows[truth].to_pylist(), strict=True)):
        if source == len(firsts):
            firsts.append(at)
        texts[source] += own
    _check_undivided(rows, [firsts[source] for source in numbers], dividing, file)
    column = pa.array(texts, pa.list_(pa.string()))
    return rows.take(firsts).set_column(rows.column_names.index(truth), truth, column)


def _check_undivided(rows: pa.Table, firsts: Sequence[int], dividing: Dividing, file: str) -> None:
    """Refuse a row with another value than the first row of its source has. Raises TableError."""
    for column, (key, name) in dividing.items():
        values = rows[column].to_pylist()
        unlike = (at for at, first in enumerate(firsts) if values[at] != values[first])
        if (at := next(unlike, None)) is not None:
            first = firsts[at]
            places = " and ".join(rows["place"][row].as_py() for row in (first, at))
            both = f"{values[first]!r} and {values[at]!r} in column {name!r}"
            problem = f"{file}: {places} have one source, and {both}"
            raise TableError(("split", key), f"{problem}; allowed: one value a source")


def one_each(rows: pa.Table, truth: str) -> pa.Table:
    """A row for each text that is right; those of one source have the ids `train-7-1`, `-2`."""
    import pyarrow as pa

    lists = list(zip(rows["id"].to_pylist(), rows[truth].to_pylist(), strict=True))
    ids = [
        f"{name}-{number}" if len(texts) > 1 else name
        for name, texts in lists
        for number in range(1, len(texts) + 1)
    ]
    repeated = rows.take([at for at, (_, texts) in enumerate(lists) for _ in texts])
    own = pa.array([[text] for _, texts in lists for text in texts], pa.list_(pa.string()))
    columns = {"id": pa.array(ids, pa.string()), truth: own}
    for name, column in columns.items():
        repeated = repeated.set_column(repeated.column_names.index(name), name, column)
    return repeated
