"""A task of the user's own folder of images or sounds, turned into the one that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from finegrid.prepare.sources import TREE
from finegrid.records.identity import files_below, shown_files, tree_sha256
from finegrid.records.specification import Source
from kinds.registry import kind_named
from tasks.file_rows import Survey, listed
from tasks.folder_layout import Placed, empty_folders, layout
from tasks.folder_rows import LABELLED, FolderReading
from tasks.labelled_folders import REGISTERED
from tasks.table_files import TableError

if TYPE_CHECKING:
    from finegrid.planning.schema import TaskEntry

START_BYTES = 1 << 16
"""Of a file, of which its first bytes tell what it is."""


def folder_of(entry: TaskEntry) -> Path:
    """The folder that an entry names. Raises TableError for what is none."""
    allowed = "allowed: a folder on this machine, of <label>/<file> or <split>/<label>/<file>"
    path = entry.files.path if entry.files else None
    if path is None:
        raise TableError(("files",), f"kind {entry.kind!r} reads whole files; {allowed}")
    folder = Path(path).expanduser()
    if path.startswith("hub:"):
        raise TableError(("files",), f"{path!r}: only tables are read of the Hub; {allowed}")
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else f"does not exist in {Path.cwd()}"
        raise TableError(("files",), f"{path!r} {what}; {allowed}")
    return folder


def surveyed_folder(entry: TaskEntry, folder: Path) -> Survey:
    """What the files below a folder hold, all looked at with what the entry says of them.

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
        _check_starts(entry, folder, layout(names).files, others)
        survey = reading.survey(folder, names, entry.labels)
    except OSError as error:
        problem = f"{error.filename} cannot be read: {error.strerror}"
        raise TableError(("files",), problem) from error
    return survey


def passed_over(folder: Path, reading: FolderReading) -> list[str]:
    """Files below a folder that are no rows: hidden ones, and those that have no label."""
    names = shown_files(folder)
    every = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    return sorted({*every} - {*names} | {*reading.unlabelled(folder, names)})


def _check_starts(
    entry: TaskEntry, folder: Path, files: Sequence[Placed], others: set[str]
) -> None:
    """Refuse files whose first bytes are none of what the kind reads, and such as have no label."""
    inputs = kind_named(str(entry.kind)).inputs
    (column,) = inputs.schema().names
    dropped = {*entry.drop.get(column, ())}
    labels = {*entry.drop.get("label", ())}
    wrong, lost = list[str](), list[str]()
    for one in files:
        if one.name in dropped or one.label in labels:
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


def folder_as_registered(entry: TaskEntry, folder: Path, survey: Survey) -> dict[str, Any]:
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
    return {"task": REGISTERED, "source": _source(folder), "options": options}


def _source(folder: Path) -> Source:
    """The folder with the hash of all files below it. Raises TableError."""
    digest = tree_sha256(folder, shown_files(folder))
    try:
        return Source(uri=f"path:{folder.as_posix()}", sha256={TREE: digest})
    except ValidationError as error:
        problem = f"the folder {folder.as_posix()!r} cannot be named; allowed: plain signs"
        raise TableError(("files",), problem) from error
