"""A task of the user's own files, turned into the registered task that reads them."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

from pydantic import JsonValue, ValidationError

from finegrid.planning.schema import TaskEntry
from finegrid.problems import Location, Problems
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import SplitName
from finegrid.records.specification import Source
from tasks.files import REGISTERED, SplitFiles, split_problem, survey
from tasks.table_files import TableError


def registered(entry: TaskEntry, at: Location, problems: Problems) -> TaskEntry | None:
    """The entry of a registered task that an entry stands for, with its source and its options.

    One of the user's own files gets its source by content and the labels that it has: every row
    is read. What is wrong with the files is noted, and None returned.
    """
    if entry.task is not None:
        return entry
    files, columns, kind = entry.files, entry.columns, entry.kind
    if files is None or columns is None or kind is None:
        raise ValueError("a task of one's own files has kind, files and columns")
    try:
        if problem := split_problem(files, entry.split):
            raise TableError(tuple(problem[0].split(".")), problem[1])
        paths = {name: _found(name, file) for name, file in files.named.items()}
        labels = survey(paths, columns, kind, entry.split)
        source, names = _source(paths)
    except TableError as error:
        problems.add((*at, *error.key), error.problem)
        return None
    options: dict[str, JsonValue] = {
        "splits": names.model_dump(mode="json"),
        "columns": columns.model_dump(mode="json"),
        "kind": kind,
        "labels": list(labels),
        "split": entry.split.model_dump(mode="json") if entry.split else None,
    }
    return TaskEntry(task=REGISTERED, source=source, options=options)


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


def _source(paths: dict[SplitName, Path]) -> tuple[Source, SplitFiles]:
    """The folder that holds all files, with their hashes, and their names below it."""
    if any(path.is_absolute() or ".." in path.parts for path in paths.values()):
        paths = {name: Path(os.path.abspath(path)) for name, path in paths.items()}  # noqa: PTH100
    folder = Path(os.path.commonpath([path.parent for path in paths.values()]) or ".")
    names = {name: path.relative_to(folder).as_posix() for name, path in paths.items()}
    hashes = {name: file_sha256(path) for name, path in paths.items()}
    for first, second in combinations(hashes, 2):
        if hashes[first] == hashes[second]:
            problem = f"the same content as {first!r}; allowed: other rows in every split"
            raise TableError(("files", second), problem)
    listed = {names[name]: digest for name, digest in hashes.items()}
    try:
        source = Source(uri=f"path:{folder.as_posix()}", sha256=listed)
    except ValidationError as error:
        problem = (
            f"the folder {folder.as_posix()!r} cannot be named; allowed: a path of plain signs"
        )
        raise TableError(("files",), problem) from error
    return source, SplitFiles(**names)
