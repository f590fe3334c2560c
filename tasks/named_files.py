"""Files of a folder that tables or lists name: which they are, and what is known of each."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Formatter

from finegrid.records.prepared import SplitName
from tasks.file_checks import listed
from tasks.file_options import HeldOut, Metadata, as_text
from tasks.table_files import Format, TableError, column_names, read_rows

_LINE = "{}"
_ALLOWED = "allowed: names of files below the folder"


@dataclass(frozen=True)
class Wanted:
    """The column of a fact, and the key of a benchmark that names the column."""

    column: str | int
    key: tuple[str, ...]
    is_needed: bool = True
    """Whether a table without the column is an error."""

    def is_in(self, names: Container[str | int]) -> bool:
        """Whether the fact is looked for among columns of these names."""
        return self.is_needed or self.column in names


class Template:
    """Where a file lies, as a text with columns in braces. Raises TableError for no such text."""

    def __init__(self, text: str) -> None:
        key = ("metadata", "path")
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise TableError(key, f"{text!r}: {error}; {_COLUMNS}") from error
        if any(conversion or form for _, _, form, conversion in parts):
            raise TableError(key, f"{text!r} is not allowed; {_COLUMNS}")
        self._parts = [(before, name) for before, name, _, _ in parts]
        if not any(self.names):
            raise TableError(key, f"{text!r} names no column; {_COLUMNS}")

    @property
    def names(self) -> list[str]:
        """The columns, in their order."""
        return [name for _, name in self._parts if name is not None]

    def filled(self, values: Sequence[str]) -> str:
        """The name of a file, of the values of the columns; empty where one is blank."""
        rest = iter(values)
        texts = [(before, None if name is None else next(rest)) for before, name in self._parts]
        is_whole = all(value is None or value for _, value in texts)
        return "".join(before + (value or "") for before, value in texts) if is_whole else ""


_COLUMNS = "allowed: columns of the tables in braces, as images/{name}.jpg"


def told(
    folder: Path, said: Metadata, path: str, wanted: Mapping[str, Wanted], how: Format
) -> dict[str, dict[str, str]]:
    """Name of a file below the folder -> the facts that tables tell of it.

    `path` is the template of the names. Raises TableError, OSError.
    """
    template = Template(path)
    tables = _Tables(folder, said, how)
    places = [tables.column(name, ("metadata", "path")) for name in template.names]
    facts = {
        fact: tables.column(one.column, one.key)
        for fact, one in wanted.items()
        if one.is_in(tables.columns)
    }
    found: dict[str, dict[str, str]] = {}
    for place, values in tables.rows([*places, *facts.values()]):
        name = template.filled(values[: len(places)])
        if not name:
            raise TableError(("metadata",), f"{place}: no name of a file; allowed: one in each row")
        name = PurePosixPath(name).as_posix()
        if name in found:
            raise TableError(
                ("metadata",), f"{place}: {name!r} is named twice; allowed: one row a file"
            )
        found[name] = dict(zip(facts, values[len(places) :], strict=True))
    return found


class _Tables:
    """One table, or several that are joined by a column that each has."""

    def __init__(self, folder: Path, said: Metadata, how: Format) -> None:
        self._how, self._key = how, said.key
        self._paths = [folder / name for name in said.files]
        for name, path in zip(said.files, self._paths, strict=True):
            if not path.is_file():
                raise TableError(("metadata",), f"no file {name!r} in {folder}; allowed: one there")
        self.columns: dict[str | int, tuple[int, str | int]] = {}
        """Column of the joined table -> the table that has it, and its name there."""
        for number, path in enumerate(self._paths):
            self._add(number, column_names(path, "train", how))

    def _add(self, number: int, names: Sequence[str | int]) -> None:
        """Note the columns of a table; numbers go on from those of the table before."""
        if self._key is not None and self._key not in names:
            allowed = f"allowed: {', '.join(map(repr, names))}"
            problem = f"{self._paths[number].name} has no column {self._key!r}; {allowed}"
            raise TableError(("metadata", "key"), problem)
        for name in names:
            if number and name == self._key:
                continue
            known = len(self.columns) if isinstance(name, int) else name
            self.columns.setdefault(known, (number, name))

    def column(self, name: str | int, key: tuple[str, ...]) -> str | int:
        """The column of that name, or of the number that a template spells out."""
        for one in (name, int(name) if isinstance(name, str) and name.isdecimal() else name):
            if one in self.columns:
                return one
        allowed = ", ".join(map(repr, self.columns))
        names = ", ".join(path.name for path in self._paths)
        raise TableError(key, f"no column {name!r} in {names}; allowed: {allowed}")

    def rows(self, columns: Sequence[str | int]) -> Iterator[tuple[str, list[str]]]:
        """The place of each row of the first table, and its values of these columns."""
        others = [self._by_key(number, columns) for number in range(1, len(self._paths))]
        for place, key, values in self._read(0, columns):
            for number, other in enumerate(others, 1):
                if key not in other:
                    problem = f"{self._paths[number].name} has no row of {self._key!r} {key!r}"
                    allowed = "allowed: one for each row of the first table"
                    raise TableError(("metadata", "key"), f"{problem}; {allowed}")
                values.update(other[key])
            yield place, [values[one] for one in columns]

    def _by_key(self, number: int, columns: Sequence[str | int]) -> dict[str, dict[str | int, str]]:
        found: dict[str, dict[str | int, str]] = {}
        for place, key, values in self._read(number, columns):
            if key in found:
                problem = f"{place}: {self._key!r} is {key!r} again; allowed: once in each table"
                raise TableError(("metadata", "key"), problem)
            found[key] = values
        return found

    def _read(
        self, number: int, columns: Sequence[str | int]
    ) -> Iterator[tuple[str, str, dict[str | int, str]]]:
        """Place, key and values of the rows of a table, as far as it has the columns."""
        path = self._paths[number]
        own = [one for one in dict.fromkeys(columns) if self.columns[one][0] == number]
        wanted = {str(at): self.columns[one][1] for at, one in enumerate(own)}
        if self._key is not None:
            wanted["key"] = self._key
        for place, values in read_rows(path, wanted, "train", self._how):
            texts = [as_text(value).strip() for value in values]
            key = texts[-1] if self._key is not None else ""
            yield f"{path.name}, {place}", key, dict(zip(own, texts, strict=False))


def read_lists(folder: Path, split: HeldOut, names: Sequence[str]) -> dict[str, SplitName]:
    """Name of a file below the folder -> the split whose list has it.

    Raises TableError for a line that names no file, or one that another list has; OSError.
    """
    found: dict[str, SplitName] = {}
    known = set(names)
    for part, file in (split.lists.named if split.lists else {}).items():
        key = ("split", "lists", part)
        if not (folder / file).is_file():
            raise TableError(key, f"no file {file!r} in {folder}; allowed: one there")
        for place, line in list_lines(folder / file, key):
            name = PurePosixPath((split.path or _LINE).replace(_LINE, line)).as_posix()
            if name not in known:
                raise TableError(key, f"{place}: {no_file(name, names)}")
            if found.setdefault(name, part) != part:
                problem = f"{place}: {name!r} is listed for {found[name]} too"
                raise TableError(key, f"{problem}; allowed: one split a file")
        if part not in found.values():
            raise TableError(key, f"{file} lists no file; allowed: 1 or more, one a line")
    return found


def list_lines(path: Path, key: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The place of each line of a list that is not blank, and the line. Raises TableError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TableError(
            key, f"{path.name} is no text in UTF-8; allowed: names, a line each"
        ) from (error)
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{path.name}, line {number}", line.strip()


def no_file(name: str, names: Sequence[str]) -> str:
    """The sentence on a name that no file has; one in another case, or below, may be meant."""
    folded = name.casefold()
    for one in names:
        if one.casefold() == folded or one.startswith(f"{name}.") or one.endswith(f"/{name}"):
            return f"{name!r} is no file there, {one!r} is; {_ALLOWED}"
    return f"{name!r} is no file there; {_ALLOWED}"


def lost(names: Sequence[str], there: Sequence[str]) -> TableError:
    """What is said of names of a table that no file has."""
    hint = no_file(names[0], there)
    also = f" ({listed(names)})" if len(names) > 1 else ""
    return TableError(("metadata",), f"{hint}{also}, or drop, which leaves rows out")
