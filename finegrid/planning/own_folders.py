"""A task of the user's own folder of images or sounds, turned into the one that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from finegrid.prepare.examined import Examiner
from finegrid.prepare.sources import TREE, Hash
from finegrid.records.identity import files_below, shown_files, tree_sha256
from finegrid.records.specification import Source
from kinds.contract import Examined
from kinds.inputs.whole_files import wrong_files
from kinds.registry import kind_named
from tasks.file_checks import listed
from tasks.file_rows import Survey
from tasks.folder_layout import METADATA, Placed, empty_folders, layout
from tasks.folder_rows import LABELLED, FolderReading
from tasks.labelled_folders import REGISTERED
from tasks.table_files import PARQUET, TableError, ending_of

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
    return any(_is_table(name) for name in names)


def _is_table(name: str) -> bool:
    """Whether a file may hold other files in a column, as no file of metadata does."""
    return ending_of(name) == PARQUET and Path(name).stem != METADATA


def folder_of(entry: TaskEntry) -> Path:
    """The folder that an entry names. Raises TableError for what is none."""
    allowed = (
        "allowed: a folder on this machine, of <label>/<file> or <split>/<label>/<file>, or tables "
        "in parquet"
    )
    path = entry.files.path if entry.files else None
    if path is None:
        raise TableError(("files",), f"kind {entry.kind!r} reads whole files; {allowed}")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else f"does not exist in {Path.cwd()}"
        raise TableError(("files",), f"{path!r} {what}; {allowed}")
    return folder


def surveyed_folder(entry: TaskEntry, folder: Path, examiner: Examiner) -> Survey:
    """What the files below a folder hold, all read to their end, with what the entry says of them.

    Raises TableError.
    """
    names = shown_files(folder)
    if empty := empty_folders(folder, names):
        problem = f"{listed(empty)}: empty; allowed: 1 file or more in every folder"
        raise TableError(("files",), problem)
    if not names:
        raise TableError(("files",), f"{folder} holds no files; allowed: 1 or more")
    reading = FolderReading.of(entry, str(entry.kind))
    try:
        others = set(reading.unlabelled(folder, names))
        kind = str(entry.kind)
        _check_starts(entry, folder, layout(names).files, others, examiner)
        survey = reading.survey(folder, names, entry.labels)
        found = [(name, examiner.of_file(kind, folder / name)) for name in survey.files]
    except OSError as error:
        problem = f"{error.filename} cannot be read: {error.strerror}"
        raise TableError(("files",), problem) from error
    return survey._replace(remarks=remarks_on(kind, found))


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
    names = shown_files(folder)
    every = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    return sorted({*every} - {*names} | {*reading.unlabelled(folder, names)})


def _check_starts(
    entry: TaskEntry,
    folder: Path,
    files: Sequence[Placed],
    others: set[str],
    examiner: Examiner,
) -> None:
    """Refuse files whose first bytes are none of what the kind reads, and such as have no label."""
    kind = str(entry.kind)
    inputs = kind_named(kind).inputs
    (column,) = inputs.schema().names
    dropped = {*entry.drop.get(column, ())}
    labels = {*entry.drop.get("label", ())}
    wrong, lost = list[str](), list[str]()
    for one in files:
        if one.name in dropped or one.label in labels:
            continue
        if one.name not in others and not examiner.of_file(kind, folder / one.name).problem:
            continue
        with (folder / one.name).open("rb") as file:
            is_readable = inputs.is_readable(file.read(START_BYTES))
        if one.name in others and is_readable:
            lost.append(one.name)
        elif one.name not in others and not is_readable:
            wrong.append(one.name)
    if lost:
        raise TableError(("files",), f"no label for {listed(lost)}; {LABELLED}")
    if wrong:
        allowed = f"allowed: {inputs.modality} alone, or drop: {{{column}: [...]}} with these names"
        raise TableError(("files",), f"no {inputs.modality}: {listed(wrong)}; {allowed}")


def folder_as_registered(
    entry: TaskEntry, folder: Path, survey: Survey, hashed: Hash
) -> dict[str, Any]:
    """The keys of the registered task that reads the folder of an entry. Raises TableError."""
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
    return {"task": REGISTERED, "source": _source(folder, hashed), "options": options}


def _source(folder: Path, hashed: Hash) -> Source:
    """The folder with the hash of all files below it. Raises TableError."""
    digest = tree_sha256(folder, shown_files(folder), hashed)
    try:
        return Source(uri=f"path:{folder.as_posix()}", sha256={TREE: digest})
    except ValidationError as error:
        problem = f"the folder {folder.as_posix()!r} cannot be named; allowed: plain signs"
        raise TableError(("files",), problem) from error
