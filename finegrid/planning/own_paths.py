"""Where a task's own files lie: those of each split, by what an entry says and by their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from finegrid.planning.layouts import Layout, parallel_layout, table_layout, text_layout
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.sources import Hash
from finegrid.records.identity import folder_sha256, text_files
from finegrid.records.prepared import SplitName
from finegrid.records.specification import Source
from tasks.file_options import SplitFiles, flat
from tasks.table_files import TEXT_FOLDER, TableError

_, _LABEL, _ = TEXT_FOLDER
Paths = dict[SplitName, tuple[Path, ...]]


def layout_of(entry: TaskEntry, names: Sequence[str], group: str | None = None) -> Layout:
    """The files of each split among the names of a folder's, less those that `split` holds out.

    Raises TableError.
    """
    if entry.format.parallel:
        if not entry.columns:
            raise TableError(("columns",), "this key is required for texts side by side")
        layout = parallel_layout(names, [*flat(entry.columns).values()], group)
    else:
        texts = text_layout(names, entry.drop.get(_LABEL, ())) if group is None else None
        layout = texts or table_layout(names, group)
    taken = {*entry.split.shares, *entry.split.by_value} if entry.split else set()
    return {split: files for split, files in layout.items() if split not in taken - {"train"}}


def paths_of(entry: TaskEntry) -> Paths:
    """The files of each split on this machine. Raises TableError."""
    files = entry.files
    if files is None:
        raise ValueError("a task of one's own files has files")
    if files.path is None:
        named = files.named.items()
        return {name: tuple(_found(name, one) for one in parts) for name, parts in named}
    folder = Path(files.path).expanduser()
    if not folder.is_dir():
        return {"train": (_found("train", files.path),)}
    layout = layout_of(entry, names_below(folder))
    return {name: tuple(folder / one for one in parts) for name, parts in layout.items()}


def names_below(folder: Path) -> list[str]:
    """The files below a folder, hidden ones aside."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    shown = (path for path in found if not any(part.startswith(".") for part in path.parts))
    return sorted(path.as_posix() for path in shown)


def _found(name: SplitName, file: str) -> Path:
    """The file's path, from the working folder on; `~` is the user's home."""
    path = Path(file).expanduser()
    if not path.is_file():
        where = "" if path.is_absolute() else f" in {Path.cwd()}"
        what = "is a folder" if path.is_dir() else f"does not exist{where}"
        raise TableError(("files", name), f"{file!r} {what}; allowed: a file")
    if not os.access(path, os.R_OK):
        raise TableError(("files", name), f"{file!r} cannot be read: no permission")
    return path


def source_of_files(
    paths: Paths, hashed: Hash, *, parallel: bool = False
) -> tuple[Source, SplitFiles]:
    """The folder that holds all files, with their hashes, and their names below it.

    Raises TableError where splits share a file's content; of texts side by side all that they have.
    """
    every = [path for files in paths.values() for path in files]
    if any(path.is_absolute() or ".." in path.parts for path in every):
        paths = {name: tuple(map(_absolute, files)) for name, files in paths.items()}
        every = [path for files in paths.values() for path in files]
    folder = Path(os.path.commonpath([path.parent for path in every]) or ".")
    names = {name: tuple(_name(path, folder) for path in files) for name, files in paths.items()}
    hashes: dict[str, str] = {}
    holders: dict[tuple[str, ...], SplitName] = {}
    for split, files in paths.items():
        found = {_name(path, folder): _digest(path, hashed) for path in files}
        hashes |= found
        contents: list[tuple[str, ...]] = [(one,) for one in found.values()]
        if parallel:
            contents = [tuple(sorted(found.values()))]
        for content in contents:
            if content in holders:
                problem = f"the same content as {holders[content]!r}"
                raise TableError(("files", split), f"{problem}; allowed: other rows in every split")
            holders[content] = split
    try:
        source = Source(uri=f"path:{folder.as_posix()}", sha256=hashes)
    except ValidationError as error:
        problem = (
            f"the folder {folder.as_posix()!r} cannot be named; allowed: a path of plain signs"
        )
        raise TableError(("files",), problem) from error
    return source, SplitFiles(**names)


def _digest(path: Path, hashed: Hash) -> str:
    return folder_sha256(text_files(path)) if path.is_dir() else hashed(path)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # links stay as they are


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")
