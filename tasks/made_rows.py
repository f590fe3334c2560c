"""Rows that are made of what a file holds, where these are more than texts and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kinds.contract import Kind, Row, RowError
from kinds.inputs.values import texts_in
from tasks.file_kinds import parts_given
from tasks.file_options import Columns, as_text
from tasks.table_files import TableError, Wanted

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN = 5
MakeRow = Callable[[Mapping[str, Any]], Row]
"""Makes a row of values by column; a tuple is of several columns. Raises RowError."""


class _Bad(NamedTuple):
    """A row of which nothing can be made."""

    column: str
    place: str
    problem: str


@dataclass
class MadeRows:
    """Makes the rows of a file; those of which nothing can be made are told together."""

    path: Path
    kind: Kind
    columns: Columns
    make: MakeRow | None = None
    """What makes a row; None: the kind."""
    bad: list[_Bad] = field(default_factory=list)

    @property
    def schema(self) -> list[pa.Field]:
        """What a row has: the columns of the kind that a task names."""
        every = (*self.kind.inputs.schema(), *self.kind.output.schema())
        given = parts_given(self.columns, self.kind.inputs.composed)
        return [one for one in every if one.name in given]

    def values(self, row: Sequence[Any], wanted: Wanted) -> dict[str, Any]:
        """The values of a row of a file, by column; a tuple is of several columns."""
        found: dict[str, Any] = {}
        for key, value in zip(wanted, row, strict=True):
            name, several, _ = key.partition("[")
            if name in self.columns:
                found[name] = (*found.get(name, ()), value) if several else value
        return found

    def arrays(
        self, rows: Sequence[Mapping[str, Any]], places: Sequence[str]
    ) -> dict[str, pa.Array]:
        """The columns of the schema, as Arrow has them."""
        import pyarrow as pa

        made = [self._made(values, place) for values, place in zip(rows, places, strict=True)]
        return {
            one.name: pa.array([row and row[one.name] for row in made], one.type)
            for one in self.schema
        }

    def finish(self) -> None:
        """Raise TableError for the rows of which nothing can be made, by the first of them."""
        if not self.bad:
            return
        first = self.bad[0]
        places = [one.place for one in self.bad if one.column == first.column]
        more = ", ..." if len(places) > _SHOWN else ""
        where = f"{self.path.name}, column {_shown(self.columns[first.column])}"
        problem = f"{where}: {first.place}: {first.problem}"
        if len(places) > 1:
            problem += f" ({len(places)} such rows: {', '.join(places[:_SHOWN])}{more})"
        raise TableError(("columns", first.column), problem)

    def _made(self, values: Mapping[str, Any], place: str) -> dict[str, Any] | None:
        try:
            return self.make(values) if self.make else self.kind.row(values)
        except RowError as error:
            self.bad.append(_Bad(error.column, place, str(error)))
            return None


def texts_held(value: Any) -> set[str]:
    """What a row may be dropped for by one value: a text, or any text of a list.

    A blank is held where there is nothing else: several columns may be blank but for one.
    """
    texts = {one.strip() for one in texts_in(value)}
    if isinstance(value, tuple):
        return (texts - {""}) or {""}
    return texts if texts and not isinstance(value, str) else {*texts, as_text(value).strip()}


def _shown(column: Any) -> str:
    return ", ".join(map(repr, column)) if isinstance(column, tuple) else repr(column)
