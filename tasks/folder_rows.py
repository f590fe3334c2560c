"""The checked rows of a folder of files: one a file, with its split, its label and its group."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol

from finegrid.records.prepared import SPLITS, SplitName
from tasks.file_checks import listed
from tasks.file_kinds import Needs, needs_of
from tasks.file_labels import find_labels, label_numbers, named_classes
from tasks.file_options import ClassNames, Columns, Dropped, HeldOut, Metadata, as_text
from tasks.folder_layout import FILE_NAME, Layout, layout
from tasks.given_splits import by_value, check_groups
from tasks.named_files import Wanted, lost, read_lists, told
from tasks.splitting import divided, grouped, proportional
from tasks.survey import Survey
from tasks.table_files import PLAIN, Format, TableError, column_names, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

_LABEL = "label"


LABELLED = (
    "allowed: files in folders of their labels, or a metadata.csv with file_name and label beside "
    "them"
)


class Said(Protocol):
    """What an entry and a task say of a folder."""

    @property
    def columns(self) -> Columns | None: ...  # noqa: D102
    @property
    def drop(self) -> Dropped: ...  # noqa: D102
    @property
    def split(self) -> HeldOut | None: ...  # noqa: D102
    @property
    def format(self) -> Format: ...  # noqa: D102
    @property
    def metadata(self) -> Metadata | None: ...  # noqa: D102


class Row(NamedTuple):
    """A file with what is known of it."""

    name: str
    split: SplitName
    label: str
    group: str = ""
    value: str = ""
    """Of the column that names the split."""


class Members(NamedTuple):
    """The files of a folder, by what they are to a task."""

    rows: tuple[Row, ...]
    """The examples, less those that are dropped."""
    left_out: tuple[str, ...]
    """Files that are examples of no split, as lists or values say."""
    unlabelled: tuple[str, ...]
    """Files where examples lie, which neither lie in a folder of a label nor are named."""
    passed_over: tuple[str, ...]
    """Files elsewhere, such as a licence."""


@dataclass(frozen=True)
class FolderReading:
    """How the files of a folder become rows."""

    needs: Needs
    columns: Columns = field(default_factory=dict)
    drop: Dropped = field(default_factory=dict)
    split: HeldOut | None = None
    how: Format = PLAIN
    metadata: Metadata | None = None

    @classmethod
    def of(cls, said: Said, kind: str | None = None) -> FolderReading:
        """As an entry of a benchmark says it, or a registered task."""
        needs = needs_of(kind or str(getattr(said, "kind")))  # noqa: B009
        return cls(needs, said.columns or {}, said.drop, said.split, said.format, said.metadata)

    def survey(self, folder: Path, names: Sequence[str], labels: ClassNames | None) -> Survey:
        """What a folder's files hold, all of which is checked.

        Raises TableError for files that no task can be made of, and OSError.
        """
        rows = self.load(folder, names)
        counts = {name: part.num_rows for name, part in rows.items()}
        files = tuple(name for part in rows.values() for name in part["id"].to_pylist())
        if not self.needs.classes:
            return Survey((), (), counts, files)
        found = find_labels(rows["train"][_LABEL].unique().to_pylist())
        if len(found) < 2:
            problem = f"all files are {found[0]!r}; allowed: 2 labels or more"
            raise TableError(("files",), problem)
        _check_case(found)
        written, shown = named_classes(found, labels)
        label_numbers(rows, written)
        return Survey(written, shown, counts, files)

    def load(self, folder: Path, names: Sequence[str]) -> dict[SplitName, pa.Table]:
        """The rows of every split: `id` and `place`, which are the file's name, and `label`.

        Raises TableError, OSError.
        """
        import pyarrow as pa

        members = self.members(folder, names).rows
        self._check_grouped(members)
        rows = self._held_out(list(members))
        if self.split is not None and self.split.is_grouped:
            check_groups([(row.split, row.group) for row in rows])
        found: dict[SplitName, pa.Table] = {}
        for split in SPLITS:
            part = [row for row in rows if row.split == split]
            if not part:
                allowed = f"a folder of that name, or a share: split: {{{split}: 0.1}}"
                raise TableError(("files",), f"no files for {split}; allowed: {allowed}")
            ids = [row.name for row in part]
            table = {"id": ids, "place": ids, _LABEL: [row.label for row in part]}
            found[split] = pa.table(table)
        return found

    @property
    def is_named(self) -> bool:
        """Whether tables or lists name all that are examples, wherever they lie."""
        lists = self.split.lists if self.split else None
        return self.metadata is not None or (lists is not None and lists.train is not None)

    def members(self, folder: Path, names: Sequence[str]) -> Members:
        """The files below a folder, by their names, before shares are held out.

        Raises TableError for a file without a label, OSError.
        """
        lists = read_lists(folder, self.split, names) if self.split else {}
        if self.metadata is not None:
            found = self._in_tables(folder, names, self.metadata)
        elif "train" in lists.values():
            rows = [Row(name, "train", PurePosixPath(name).parent.name) for name in lists]
            found = Members(tuple(rows), (), (), tuple(sorted(set(names) - set(lists))))
        else:
            found = self._laid_out(folder, layout(names))
        self._check_listed(lists, found.rows)
        rows = [self._with_group(row) for row in self._kept(found.rows)]
        if blank := [row.name for row in rows if not row.label]:
            raise TableError(("files",), f"no label for {listed(blank)}; {LABELLED}")
        placed = self._in_lists(rows, lists) if lists else self._by_value(rows)
        left_out = {row.name for row in rows} - {row.name for row in placed}
        return found._replace(rows=tuple(placed), left_out=tuple(sorted(left_out)))

    def _in_tables(self, folder: Path, names: Sequence[str], said: Metadata) -> Members:
        """The files that the tables name, which are all that are examples."""
        column = self.columns.get(self.needs.files[0])
        path = said.path or f"{{{FILE_NAME if column is None else column}}}"
        facts = told(folder, said, path, self._facts(), self.how)
        rows = [_row(name, "train", values) for name, values in facts.items()]
        there = set(names)
        if gone := [row.name for row in self._kept(rows) if row.name not in there]:
            raise lost(gone, names)
        others = there - set(facts) - set(said.files)
        return Members(tuple(rows), (), (), tuple(sorted(others)))

    def _facts(self) -> dict[str, Wanted]:
        """The columns of metadata that are read beside the file's name."""
        label, split = self.columns.get(_LABEL), self.split
        key = ("columns", _LABEL)
        facts = {_LABEL: Wanted(_LABEL, key, is_needed=False)}
        if isinstance(label, str | int):
            facts[_LABEL] = Wanted(label, key)
        if split is not None and split.group is not None:
            facts["group"] = Wanted(split.group, ("split", "group"))
        if split is not None and split.column is not None:
            facts["value"] = Wanted(split.column, ("split", "column"))
        return facts

    def _laid_out(self, folder: Path, found: Layout) -> Members:
        """The files that lie as people lay them out, with what metadata beside them say."""
        said = self._beside(folder, found)
        if gone := sorted(set(said) - {one.name for one in found.files}):
            allowed = "allowed: names of files that are there, from its own folder on"
            raise TableError(("files",), f"metadata names {listed(gone)}; {allowed}")
        rows, unlabelled = [], []
        for one in found.files:
            if one.label is None and one.name not in said:
                unlabelled.append(one.name)  # such as a licence
            else:
                values = {_LABEL: one.label or ""} | said.get(one.name, {})
                rows.append(_row(one.name, one.split, values))
        return Members(tuple(rows), (), tuple(unlabelled), found.passed_over)

    def _check_grouped(self, rows: Sequence[Row]) -> None:
        """Refuse files to be trained on without a group, where there are groups."""
        if self.split is None or not self.split.is_grouped:
            return
        if alone := [row.name for row in rows if row.split == "train" and not row.group]:
            key, allowed = "group", "a column of metadata, with a value"
            if self.split.group_pattern is not None:
                key, allowed = "group_pattern", "a pattern that matches each name, or drop"
            raise TableError(("split", key), f"no group for {listed(alone)}; allowed: {allowed}")

    def _beside(self, folder: Path, found: Layout) -> dict[str, dict[str, str]]:
        """Name of a file -> what the metadata that lie beside it say: its label, its group."""
        rows: dict[str, dict[str, str]] = {}
        for file in found.metadata.values():
            names = column_names(folder / file, "train", self.how)
            facts = {fact: one.column for fact, one in self._facts().items() if one.is_in(names)}
            wanted = {"file": FILE_NAME} | facts
            above = PurePosixPath(file).parent
            for place, values in read_rows(folder / file, wanted, "train", self.how):
                texts = dict(zip(wanted, map(as_text, values), strict=True))
                name = (above / texts.pop("file").strip()).as_posix()
                if name in rows:
                    where = f"{file}, {place}: {name!r} is named twice"
                    raise TableError(("files",), f"{where}; allowed: one row a file")
                rows[name] = texts
        return rows

    def _with_group(self, row: Row) -> Row:
        """The row with the group that stands in its name, where a pattern says so."""
        pattern = self.split.group_pattern if self.split else None
        if pattern is None or (found := re.search(pattern, row.name)) is None:
            return row
        return row._replace(group=(found[1] if found.re.groups else found[0]) or "")

    def _in_lists(self, rows: Sequence[Row], lists: Mapping[str, SplitName]) -> list[Row]:
        """The rows in the splits that list them; without a list for training, all else is of it."""
        self._check_free(rows, set(lists.values()) - {"train"})
        rest: SplitName | None = None if "train" in lists.values() else "train"
        own: dict[str, SplitName | None] = {}
        own |= {row.name: rest if row.split == "train" else row.split for row in rows}
        parts = own | {**lists}
        return [row._replace(split=part) for row in rows if (part := parts[row.name])]

    def _check_listed(self, lists: Mapping[str, SplitName], rows: Sequence[Row]) -> None:
        """Refuse a listed file that is no example. Raises TableError."""
        known = {row.name for row in rows}
        for name, part in lists.items():
            if name not in known:
                problem = f"{name!r} is listed and has no label; {LABELLED}"
                raise TableError(("split", "lists", part), problem)

    def _by_value(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in the splits that the values of a column say."""
        if self.split is None or self.split.column is None:
            return list(rows)
        self._check_free(rows, set(self.split.by_value) - {"train"})
        train = [row for row in rows if row.split == "train"]
        pairs = zip(train, by_value([row.value for row in train], self.split), strict=True)
        moved = [row._replace(split=part) for row, part in pairs if part]
        return [*moved, *(row for row in rows if row.split != "train")]

    def _check_free(self, rows: Sequence[Row], parts: Iterable[SplitName]) -> None:
        """Refuse a split that the folder has, and the entry divides too. Raises TableError."""
        has = {row.split for row in rows}
        for name in parts:
            if name in has:
                problem = "a folder of that name is there too; allowed: one of the two"
                raise TableError(("split", name), problem)

    def _kept(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that have none of the values to drop: names of files, or labels."""
        (column,) = self.needs.files
        columns = {column: "name", _LABEL: "label"}
        for key, values in self.drop.items():
            if key not in columns:
                raise TableError(("drop", key), f"no such key; allowed: {', '.join(columns)}")
            known = {str(getattr(row, columns[key])) for row in rows}
            for value in values:
                if value not in known:
                    problem = f"no file has {value!r}; allowed: what some have"
                    raise TableError(("drop", key), problem)
        dropped = {columns[key]: set(values) for key, values in self.drop.items()}
        return [
            row
            for row in rows
            if not any(getattr(row, name) in values for name, values in dropped.items())
        ]

    def _held_out(self, rows: list[Row]) -> list[Row]:
        """The rows, those of training in the splits that are held out of them by shares."""
        shares = self.split.shares if self.split else {}
        self._check_free(rows, shares)
        train = [row for row in rows if row.split == "train"]
        if not shares or not train or self.split is None:
            return rows
        groups = [row.group for row in train] if self.split.is_grouped else None
        strata = [row.label if self.needs.classes else "" for row in train]
        seed = self.split.seed
        order = grouped(groups, seed) if groups else proportional(strata, seed)
        try:
            parts = divided(order, shares, groups)
        except ValueError as error:
            raise TableError(("split",), str(error)) from error
        moved = [row._replace(split=part) for row, part in zip(train, parts, strict=True)]
        return [*moved, *(row for row in rows if row.split != "train")]


def _row(name: str, split: SplitName, values: Mapping[str, str]) -> Row:
    """A file with what tables tell of it; its label is else the folder that it lies in."""
    facts = {fact: text.strip() for fact, text in values.items()}
    return Row(name, split, **{_LABEL: PurePosixPath(name).parent.name} | facts)


def check_set_apart(labels: Iterable[str]) -> None:
    """Refuse labels such as `_background_noise_`, unless the entry names all of them."""
    for label in filter(is_set_apart, labels):
        allowed = f"allowed: drop: {{label: [{label}]}}, or labels with it among them"
        raise TableError(("files",), f"the label {label!r} may be no class; {allowed}")


def is_set_apart(label: str) -> bool:
    """Whether the form of a folder's name says that it is no label."""
    return len(label) > 2 and label[0] == label[-1] == "_"


def _check_case(labels: Sequence[str]) -> None:
    """Refuse labels that differ in case alone: most often one was written in two ways."""
    by_case: dict[str, list[str]] = {}
    for label in labels:
        by_case.setdefault(label.casefold(), []).append(label)
    for alike in by_case.values():
        if len(alike) > 1:
            shown = " and ".join(map(repr, alike))
            problem = f"the labels {shown} differ in case alone; allowed: one, or other names"
            raise TableError(("files",), problem)
