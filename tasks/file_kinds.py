"""What the kinds of task read of a user's own files: columns of a table, or whole files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finegrid.records.registry import UnknownNameError, unknown_name
from kinds.contract import Composed, Kind
from kinds.registry import KINDS, kind_named
from tasks.file_options import Columns
from tasks.table_files import TableError


@dataclass(frozen=True)
class Needs:
    """What a kind reads, by the names of its columns."""

    kind: str
    texts: tuple[str, ...]
    """Columns of text, in their order."""
    numbers: tuple[str, ...]
    """What rows of numbers are made of: several columns of a table each."""
    files: tuple[str, ...]
    """What the bytes of a file are."""
    optional: tuple[str, ...]
    truth: tuple[str, ...]
    """Columns of what is true."""
    made: tuple[str, ...]
    """Columns of lists or records beside these, which the kind makes of what a file holds."""
    several: frozenset[str]
    """Those of its columns that several columns of a table may make."""
    composed: Mapping[str, Composed]
    """Columns that take the place of all of these."""
    truths: str
    """What that is: classes, numbers, texts or tags."""

    @property
    def classes(self) -> bool:
        """Whether what is true is a class."""
        return self.truths == "classes"

    @property
    def named(self) -> bool:
        """Whether it has names, as classes and tags have."""
        return self.truths in ("classes", "tags")

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.texts, *self.numbers, *self.files, *self.made, *self.truth)

    @property
    def labelled(self) -> bool:
        """Whether what is true is a label."""
        return self.truths in ("classes", "numbers")

    @property
    def joined(self) -> tuple[str, ...]:
        """Columns that several columns of a table may make together."""
        return (*self.texts, *self.truth) if self.truths == "texts" else tuple(self.several)

    @property
    def known(self) -> tuple[str, ...]:
        """All that a task may name."""
        return (*self.names, *self.composed, *self._beside)

    @property
    def _beside(self) -> tuple[str, ...]:
        return tuple(one for made in self.composed.values() for one in made.beside)

    def listed(self, columns: Columns) -> tuple[str, ...]:
        """What a registered task lists: columns that stand beside others only where given."""
        apart = {*self._beside, *(one for one, made in self.composed.items() if made.beside)}
        return tuple(one for one in self.known if one not in apart or columns.get(one) is not None)

    def check(self, columns: Columns) -> None:
        """Refuse columns that the kind does not read, or that it lacks. Raises TableError."""
        if composed := [name for name in self.composed if columns.get(name) is not None]:
            self._check_composed(composed[0], columns)
            return
        for name, given in columns.items():
            if name not in self.known:
                problem = unknown_name("key", name, list(self.known))
                raise TableError(("columns", name), problem)
            if name in self._beside:
                raise TableError(("columns", name), f"allowed: beside {', '.join(self.composed)}")
            is_wrong = isinstance(given, tuple) != (name in self.numbers)
            if given is not None and is_wrong and name not in self.joined:
                several = "a list of columns of numbers" if name in self.numbers else "one column"
                shown = list(given) if isinstance(given, tuple) else given
                raise TableError(("columns", name), f"{shown!r} is not allowed; allowed: {several}")
        for name in self.names:
            if name not in self.optional and columns.get(name) is None:
                raise TableError(("columns", name), "this key is required")

    def _check_composed(self, name: str, columns: Columns) -> None:
        """Refuse what cannot stand beside a column that others are made of. Raises TableError."""
        made = self.composed[name]
        allowed = f"{name} beside {', '.join(made.beside)}" if made.beside else f"{name} alone"
        for other, given in columns.items():
            if other not in (name, *made.beside) and given is not None:
                raise TableError(("columns", other), f"{name} holds all; allowed: {allowed}")
            if isinstance(given, tuple):
                raise TableError(("columns", other), "several columns; allowed: one column")
        for other in made.beside:
            if other not in made.optional and columns.get(other) is None:
                raise TableError(("columns", other), f"this key is required beside {name}")


def needs_of(name: str) -> Needs:
    """What the kind of that name reads. Raises UnknownNameError."""
    import pyarrow as pa

    kind: Kind = kind_named(name)
    read = {one.name: one.type for one in kind.inputs.schema()}
    texts = tuple(one for one, found in read.items() if pa.types.is_string(found))
    numbers = tuple(one for one, found in read.items() if _is_of_numbers(found))
    files = tuple(one for one, found in read.items() if pa.types.is_binary(found))
    return Needs(
        kind=name,
        texts=texts,
        numbers=numbers,
        files=files,
        made=tuple(one for one in read if one not in (*texts, *numbers, *files)),
        several=kind.several,
        optional=kind.inputs.optional,
        truth=tuple(kind.output.schema().names),
        composed=kind.inputs.composed,
        truths=kind.output.truths,
    )


def parts_given(columns: Columns, composed: Mapping[str, Composed]) -> list[str]:
    """The columns that examples are made of, by what a task names."""
    named = {name: composed.get(name) for name, one in columns.items() if one is not None}
    beside = {other for one in named.values() if one for other in one.beside}
    parts = ((one.parts if one else (name,)) for name, one in named.items() if name not in beside)
    return [part for several in parts for part in several]


def _is_of_numbers(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) and pa.types.is_floating(kind.value_type))


def checked_needs(name: str) -> Needs:
    """The same for an option of a task. Raises ValueError."""
    try:
        return needs_of(name)
    except UnknownNameError as error:
        raise ValueError(f"kind: {error}") from error


def kinds_like(kind: str) -> list[str]:
    """The kinds that read the same columns as one does, whatever is true of them."""
    own = needs_of(kind)
    return [
        name
        for name in KINDS
        if (one := needs_of(name)).texts == own.texts
        and (one.numbers, one.files, one.made) == (own.numbers, own.files, own.made)
    ]


def kind_reading(column: str, *, classes: bool) -> str:
    """The first kind that reads a column of that name and has classes, or numbers.

    Raises LookupError where there is none.
    """
    wanted = "classes" if classes else "numbers"
    for name in KINDS:
        needs = needs_of(name)
        if column in needs.names and needs.truths == wanted:
            return name
    raise LookupError(f"no kind reads {column} and has {wanted}")
