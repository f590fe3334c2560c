"""A task of the user's own folder of images or sounds, turned into the one that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from finegrid.prepare.examined import Examiner
from finegrid.prepare.packed import is_packed
from finegrid.prepare.sources import TREE, Hash, tree_files
from finegrid.records.identity import files_below, shown_files, tree_sha256
from finegrid.records.registry import unknown_name
from finegrid.records.specification import Source
from kinds.contract import Examined
from kinds.inputs.whole_files import wrong_files
from kinds.registry import kind_named
from tasks.file_checks import listed
from tasks.file_kinds import Needs
from tasks.folder_layout import METADATA, empty_folders
from tasks.folder_rows import LABELLED, FolderReading, Members, check_set_apart
from tasks.labelled_folders import REGISTERED
from tasks.survey import Survey
from tasks.table_files import ENDINGS, PARQUET, TableError, ending_of

if TYPE_CHECKING:
    from finegrid.planning.schema import TaskEntry

START_BYTES = 1 << 16
"""Of a file, of which its first bytes tell what it is."""


def reads_tables(entry: TaskEntry) -> bool:
    """Whether an entry of a kind that reads whole files has them in a column of tables."""
    path = entry.files.path if entry.files else None
    if path is None or path.startswith("hub:"):
        return True
    folder = Path(path).expanduser()
    names = shown_files(folder) if folder.is_dir() else [path] if folder.is_file() else []
    return any(map(holds_files, names))


def holds_files(name: str) -> bool:
    """Whether a file may hold other files in a column, as no file of metadata does."""
    return ending_of(name) == PARQUET and Path(name).stem != METADATA


def folder_of(entry: TaskEntry) -> Path:
    """The folder that an entry names, or an archive of one. Raises TableError for what is none."""
    allowed = (
        "allowed: a folder on this machine, or an archive of one, of <label>/<file> or "
        "<split>/<label>/<file>, or tables in parquet"
    )
    path = entry.files.path if entry.files else None
    if path is None:
        raise TableError(("files",), f"kind {entry.kind!r} reads whole files; {allowed}")
    folder = Path(path).expanduser()
    if not folder.is_dir() and not (folder.is_file() and is_packed(folder.name)):
        what = "is a file" if folder.is_file() else f"does not exist in {Path.cwd()}"
        if folder.is_file() and ending_of(folder.name) in ENDINGS:
            what = f"is a table; to read the files that it names: {_as_metadata(folder)}"
        raise TableError(("files",), f"{path!r} {what}; {allowed}")
    return folder


def check_columns(entry: TaskEntry, needs: Needs) -> None:
    """Refuse columns that no table beside whole files is read for. Raises TableError."""
    for name, column in (entry.columns or {}).items():
        if name not in needs.names:
            raise TableError(("columns", name), unknown_name("key", name, list(needs.names)))
        if name in needs.files and column is not None and entry.metadata is None:
            allowed = "allowed: beside metadata, which names a table"
            raise TableError(("columns", name), f"no table is named that has {column!r}; {allowed}")


def _as_metadata(table: Path) -> str:
    """The keys of an entry that read the files that a table names."""
    return f"files: {table.parent.as_posix()}, metadata: {table.name}"


def surveyed_folder(entry: TaskEntry, folder: Path, examiner: Examiner) -> Survey:
    """What the files below a folder hold, all read to their end, with what the entry says of them.

    Raises TableError.
    """
    names = tree_files(folder)
    reading = FolderReading.of(entry, str(entry.kind))
    if not reading.is_named and (empty := empty_folders(folder, names)):
        problem = f"{listed(empty)}: empty; allowed: 1 file or more in every folder"
        raise TableError(("files",), problem)
    if not names:
        raise TableError(("files",), f"{folder} holds no files; allowed: 1 or more")
    try:
        members = reading.members(folder, names)
        kind = str(entry.kind)
        if reading.needs.classes and entry.labels is None:
            check_set_apart(sorted({row.label for row in members.rows}))
        _check_starts(kind, folder, members, examiner)
        survey = reading.survey(folder, names, entry.labels)
        found = [(name, examiner.of_file(kind, folder / name)) for name in survey.files]
    except OSError as error:
        raise _unreadable(error) from error
    return survey._replace(remarks=(*remarks_on(kind, found), *_unused(members)))


def _unreadable(error: OSError) -> TableError:
    return TableError(("files",), f"{error.filename} cannot be read: {error.strerror}")


def _unused(members: Members) -> Iterator[str]:
    """What of a folder's files is in no split, or is named by no table, though it may be meant."""
    endings = {Path(row.name).suffix.lower() for row in members.rows}
    alike = [name for name in members.passed_over if Path(name).suffix.lower() in endings]
    if members.left_out:
        yield f"in no split, by lists or values: {listed(members.left_out)}"
    if alike:
        yield f"passed over, for no table or list names them: {listed(alike)}"


def remarks_on(kind: str, found: Sequence[tuple[str, Examined]]) -> tuple[str, ...]:
    """What a user should know of files that were read to their end.

    Raises TableError for those of which no example can be made.
    """
    inputs = kind_named(kind).inputs
    for problem in wrong_files(inputs, found):
        raise TableError(("files",), problem)
    facts = [one.facts for _, one in found if one.facts]
    return tuple(inputs.remarks(facts)) if facts else ()


def passed_over(folder: Path, reading: FolderReading) -> list[str]:
    """Files below a folder that are no rows: hidden ones, and those that have no label."""
    names = tree_files(folder)
    every = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    members = reading.members(folder, names)
    return sorted({*every} - {*names} | {*members.unlabelled, *members.passed_over})


def _check_starts(kind: str, folder: Path, members: Members, examiner: Examiner) -> None:
    """Refuse files whose first bytes are none of what the kind reads, and such as have no label."""
    inputs = kind_named(kind).inputs
    (column,) = inputs.schema().names

    def is_readable(name: str) -> bool:
        with (folder / name).open("rb") as file:
            return inputs.is_readable(file.read(START_BYTES))

    if lost := [name for name in members.unlabelled if is_readable(name)]:
        raise TableError(("files",), f"no label for {listed(lost)}; {LABELLED}")
    suspects = (
        row.name for row in members.rows if examiner.of_file(kind, folder / row.name).problem
    )
    if wrong := [name for name in suspects if not is_readable(name)]:
        allowed = f"allowed: {inputs.modality} alone, or drop: {{{column}: [...]}} with these names"
        raise TableError(("files",), f"no {inputs.modality}: {listed(wrong)}; {allowed}")


def folder_as_registered(entry: TaskEntry, source: Source, survey: Survey) -> dict[str, Any]:
    """The keys of the registered task that reads the folder of an entry from a source."""
    options = {
        "kind": entry.kind,
        "columns": dict(entry.columns or {}),
        "labels": list(survey.names),
        "written": list(survey.written),
        "scores": list(entry.metrics or ()),
        "format": entry.format.model_dump(mode="json"),
        "drop": {key: list(values) for key, values in entry.drop.items()},
        "split": entry.split.model_dump(mode="json") if entry.split else None,
    }
    if entry.metadata is not None:
        options["metadata"] = entry.metadata.model_dump(mode="json")
    return {"task": REGISTERED, "source": source, "options": options}


def source_of(place: Path, hashed: Hash) -> Source:
    """The folder with the hash of all files below it, or the archive with its own.

    Raises TableError.
    """
    try:
        if place.is_dir():
            hashes = {TREE: tree_sha256(place, tree_files(place), hashed)}
        else:
            hashes = {place.name: hashed(place)}
        return Source(uri=f"path:{place.as_posix()}", sha256=hashes)
    except ValidationError as error:
        problem = f"the folder {place.as_posix()!r} cannot be named; allowed: plain signs"
        raise TableError(("files",), problem) from error
    except OSError as error:
        raise _unreadable(error) from error
