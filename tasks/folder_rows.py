"""The checked rows of a folder of files: one a file, with its split, its label and its group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol

from finegrid.records.prepared import SPLITS, SplitName
from tasks.file_checks import listed
from tasks.file_kinds import Needs, needs_of
from tasks.file_labels import find_labels, named_classes
from tasks.file_options import ClassNames, Columns, Dropped, HeldOut, as_text
from tasks.file_rows import Survey, label_numbers
from tasks.folder_layout import FILE_NAME, Layout, layout
from tasks.splitting import divided, grouped, proportional
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


class _Row(NamedTuple):
    """A file with what is known of it."""

    name: str
    split: SplitName
    label: str
    group: str


@dataclass(frozen=True)
class FolderReading:
    """How the files of a folder become rows."""

    needs: Needs
    columns: Columns = field(default_factory=dict)
    drop: Dropped = field(default_factory=dict)
    split: HeldOut | None = None
    how: Format = PLAIN

    @classmethod
    def of(cls, said: Said, kind: str | None = None) -> FolderReading:
        """As an entry of a benchmark says it, or a registered task."""
        needs = needs_of(kind or str(getattr(said, "kind")))  # noqa: B009
        return cls(needs, said.columns or {}, said.drop, said.split, said.format)

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

        rows = self._held_out(self._kept(self._rows(folder, layout(names))))
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

    def _rows(self, folder: Path, found: Layout) -> list[_Row]:
        """The files with their labels. Raises TableError for one without."""
        said = self._metadata(folder, found)
        if lost := sorted(set(said) - {one.name for one in found.files}):
            allowed = "allowed: names of files that are there, from its own folder on"
            raise TableError(("files",), f"metadata names {listed(lost)}; {allowed}")
        rows = []
        for one in found.files:
            if one.label is None and one.name not in said:
                continue  # such as a licence
            values = said.get(one.name, {})
            label = values.get(_LABEL, one.label or "").strip()
            rows.append(_Row(one.name, one.split, label, values.get("group", "")))
        self._check(rows, is_grouped=self.split is not None and self.split.group is not None)
        return rows

    def unlabelled(self, folder: Path, names: Sequence[str]) -> list[str]:
        """Files that are no rows: they lie in no folder of a label, and no metadata name them."""
        found = layout(names)
        said = self._metadata(folder, found)
        inside = [one.name for one in found.files if one.label is None and one.name not in said]
        return sorted([*inside, *found.passed_over])

    def _check(self, rows: Sequence[_Row], *, is_grouped: bool) -> None:
        """Refuse files without a label, or without a group where there are groups."""
        kept = self._kept(rows)
        if blank := [row.name for row in kept if not row.label]:
            raise TableError(("files",), f"no label for {listed(blank)}; {LABELLED}")
        alone = [row.name for row in kept if is_grouped and row.split == "train" and not row.group]
        if alone:
            problem = f"no group for {listed(alone)}; allowed: a column of metadata, with a value"
            raise TableError(("split", "group"), problem)

    def _metadata(self, folder: Path, found: Layout) -> dict[str, dict[str, str]]:
        """Name of a file -> what metadata say of it: its label, its group."""
        rows: dict[str, dict[str, str]] = {}
        for file in found.metadata.values():
            names = column_names(folder / file, "train", self.how)
            wanted: dict[str, str | int] = {"file": FILE_NAME}
            label = self.columns.get(_LABEL)
            if label is not None or _LABEL in names:
                wanted[_LABEL] = label if isinstance(label, str | int) else _LABEL
            if self.split is not None and self.split.group is not None:
                wanted["group"] = self.split.group
            above = PurePosixPath(file).parent
            for _, values in read_rows(folder / file, wanted, "train", self.how):
                texts = dict(zip(wanted, map(as_text, values), strict=True))
                rows[(above / texts.pop("file").strip()).as_posix()] = texts
        return rows

    def _kept(self, rows: Sequence[_Row]) -> list[_Row]:
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

    def _held_out(self, rows: list[_Row]) -> list[_Row]:
        """The rows, those of training in the splits that are held out of them."""
        shares = self.split.shares if self.split else {}
        given = Counter(row.split for row in rows)
        for name in shares:
            if given[name]:
                problem = "a folder of that name is there too; allowed: one of the two"
                raise TableError(("split", name), problem)
        train = [row for row in rows if row.split == "train"]
        if not shares or not train or self.split is None:
            return rows
        groups = [row.group for row in train] if self.split.group is not None else None
        strata = [row.label if self.needs.classes else "" for row in train]
        seed = self.split.seed
        order = grouped(groups, seed) if groups else proportional(strata, seed)
        try:
            parts = divided(order, shares, groups)
        except ValueError as error:
            raise TableError(("split",), str(error)) from error
        moved = [row._replace(split=part) for row, part in zip(train, parts, strict=True)]
        return [*moved, *(row for row in rows if row.split != "train")]


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
