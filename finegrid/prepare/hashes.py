"""Hashes of large files, so that they are not read by every plan and every job of a cluster."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from finegrid.records.identity import file_sha256
from finegrid.records.write import write_text

HASHES_FILE = "hashes.json"
KEPT_FROM_BYTES = 16 << 20
"""Smaller files are read each time: that costs less than to remember them."""
SETTLED_SECONDS = 2.0
"""The coarsest clock of a file system: what changed later may change again unseen."""


class Hashes:
    """sha256 by path, kept in a file of a folder of results, once there is one.

    A hash stands for as long as the file's size, inode and times do: the time of its last change,
    which a user can set, and that of the inode's, which only the system sets. A file that changed
    just before it was read is read again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = _read(file)

    def __call__(self, path: Path) -> str:
        """The hash of the file's bytes. Raises OSError."""
        key, signs = os.path.realpath(path), _signs(path)
        if (known := self._known.get(key)) and known[:-1] == signs:
            return str(known[-1])
        begun = time.time_ns()
        found = file_sha256(path)
        settled = begun - max(signs[1], signs[2]) > SETTLED_SECONDS * 1e9
        if signs[0] >= KEPT_FROM_BYTES and settled and _signs(path) == signs:
            self._keep(key, [*signs, found])
        return found

    def _keep(self, key: str, value: list[int | str]) -> None:
        self._known[key] = value
        if not self._file.parents[1].is_dir():
            return  # nothing has been run: to look at a benchmark leaves no files
        with suppress(OSError):  # a folder that is only read costs time, and no number
            write_text(self._file, json.dumps(_read(self._file) | {key: value}, indent=0))


def _signs(path: Path) -> list[int]:
    """What tells a changed file without reading it."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _read(file: Path) -> dict[str, list[int | str]]:
    """What is kept; nothing where the file is damaged, for it can be made again."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {key: value for key, value in entries if isinstance(value, list) and len(value) == 5}
