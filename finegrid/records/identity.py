"""Identity by content: canonical JSON, its hash, and the names made of it."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

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


def text_files(folder: Path) -> list[Path]:
    """The texts that lie in a folder, by their names."""
    return sorted(path for path in folder.iterdir() if path.name.lower().endswith(".txt"))


def folder_sha256(files: Iterable[Path]) -> str:
    """sha256 of the lines that `sha256sum` prints of files, by their names. Raises OSError."""
    lines = (f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def short_hash(value: BaseModel | Any) -> str:
    """The first eight digits of the content hash, for names that people read."""
    return content_hash(value)[:8]
