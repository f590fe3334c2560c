"""Identity by content: canonical JSON, its hash, and the names made of it."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

_LEFT_BEHIND = ("thumbs.db", "desktop.ini", "icon")
_MAC_FOLDER = "__MACOSX"
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
)


def canonical_json(value: BaseModel | Any) -> str:
    """The one text of a value: sorted keys, no spaces, no NaN. Raises ValueError for NaN."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return _ENCODER.encode(plain)


def content_hash(value: BaseModel | Any) -> str:
    """sha256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes. Raises OSError where it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def bytes_sha256(content: bytes) -> str:
    """sha256 of bytes, as that of a file that holds them."""
    return hashlib.sha256(content).hexdigest()


def text_files(folder: Path) -> list[Path]:
    """The texts that lie in a folder, by their names."""
    return sorted(path for path in folder.iterdir() if path.name.lower().endswith(".txt"))


def files_below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The files below a folder in their order, also those below links to folders.

    A link that leads nowhere is one of them; one to a folder that it lies in is passed over.
    """
    real = os.path.realpath(folder)
    for path in sorted(folder.iterdir()) if real not in above else ():
        if path.is_dir():
            yield from files_below(path, above | {real})
        elif path.is_file() or path.is_symlink():
            yield path


def shown_files(folder: Path) -> list[str]:
    """Names below a folder of all files but hidden ones and those that file managers leave."""
    names = (path.relative_to(folder).as_posix() for path in files_below(folder))
    return [name for name in names if not is_left_behind(name)]


def is_left_behind(name: str) -> bool:
    """Whether a name below a folder is that of a hidden file, or one that a file manager left."""
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return hidden or _MAC_FOLDER in parts or parts[-1].rstrip("\r").lower() in _LEFT_BEHIND


def tree_sha256(
    folder: Path, names: Iterable[str], hashed: Callable[[Path], str] = file_sha256
) -> str:
    """sha256 of the lines that `sha256sum` prints of files below a folder. Raises OSError."""
    lines = (f"{hashed(folder / name)}  {name}\n" for name in names)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def folder_sha256(files: Iterable[Path]) -> str:
    """sha256 of the lines that `sha256sum` prints of files, by their names. Raises OSError."""
    lines = (f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def short_hash(value: BaseModel | Any) -> str:
    """The first eight digits of the content hash, for names that people read."""
    return content_hash(value)[:8]
