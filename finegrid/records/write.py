"""The one writer of files of record: temporary file, fsync, rename."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from finegrid.records.identity import file_sha256

_UNFINISHED = ".*.*"
"""How temporary files are named: hidden, with a second dot, which the name of a lock has not."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error.

    A reader sees the old file or the new one, never a part. Raises OSError where the disk does.
    """
    with _temporary(path.parent, path.name, path.suffix) as temporary:
        yield temporary
        _place(temporary, path)


def write_by_hash(folder: Path, suffix: str, write: Callable[[Path], None]) -> Path:
    """Write a file atomically under the name of its own sha256, and return its path.

    `write` fills the path that it is given. Raises OSError where the disk does.
    """
    with _temporary(folder, "new", suffix) as temporary:
        write(temporary)
        path = folder / f"{file_sha256(temporary)}{suffix}"
        _place(temporary, path)
    return path


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left in `folder` that were killed while they wrote.

    To be called where no other process writes there. Raises OSError where the disk does.
    """
    for path in folder.glob(_UNFINISHED):
        path.unlink(missing_ok=True)


@contextmanager
def _temporary(folder: Path, stem: str, suffix: str) -> Iterator[Path]:
    """An empty file that is gone after the block unless it was renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{stem}.", suffix=suffix, dir=folder)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _place(temporary: Path, path: Path) -> None:
    """Give a file its name, and not before its bytes are on the disk."""
    _flush(temporary)
    temporary.chmod(0o644)
    temporary.replace(path)
    _flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
