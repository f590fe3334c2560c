"""Hashes of files, so that they are not read by every plan and every job of a cluster."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from pydantic import JsonValue

from finegrid.records.identity import file_sha256

HASHES_FILE = "hashes.jsonl"
SETTLED_SECONDS = 2.0
"""The coarsest clock of a file system: what changed later may change again unseen."""


class Lines:
    """Values by their keys, kept a line each in a file of a folder of results, once there is one.

    Lines are added alone, so that many files cost no more than one each, and several processes may
    add theirs. Of one key the last counts; a damaged line is none, for it can be made again.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known = _read(file) if file else {}

    def get(self, key: str) -> JsonValue:
        """The value of a key; None where none is known."""
        return self._known.get(key)

    def put(self, key: str, value: JsonValue) -> None:
        """Keep a value, in a file where the folder takes one."""
        self._known[key] = value
        if self._file is None or not self._file.parents[1].is_dir():
            return  # nothing has been run: to look at a benchmark leaves no files
        with suppress(OSError):  # a folder that is only read costs time, and no number
            self._file.parent.mkdir(exist_ok=True)
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(f"\n{json.dumps([key, value])}")  # behind what may be torn


class Hashes:
    """sha256 by path, kept in a file of a folder of results, once there is one.

    A hash stands for as long as the file's size, inode and times do: the time of its last change,
    which a user can set, and that of the inode's, which only the system sets. A file that changed
    just before it was read is read again.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._lines = Lines(file)

    def __call__(self, path: Path) -> str:
        """The hash of the file's bytes. Raises OSError."""
        key, signs = os.path.realpath(path), _signs(path)
        known = self._lines.get(key)
        if isinstance(known, list) and known[:-1] == signs:
            return str(known[-1])
        begun = time.time_ns()
        found = file_sha256(path)
        settled = begun - max(signs[1], signs[2]) > SETTLED_SECONDS * 1e9
        if settled and _signs(path) == signs:
            self._lines.put(key, [*signs, found])
        return found


def _signs(path: Path) -> list[int]:
    """What tells a changed file without reading it."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _read(file: Path) -> dict[str, JsonValue]:
    """What is kept, as far as it can be read."""
    try:
        lines = file.read_bytes().decode(errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, JsonValue] = {}
    for line in lines:
        with suppress(ValueError, TypeError):
            key, value = json.loads(line)
            found[key] = value
    return found
