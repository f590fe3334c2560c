"""What whole files hold: each is read to its end once, by its content."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Self

from finegrid.prepare.hashes import HASHES_FILE, Hashes, Lines
from finegrid.prepare.sources import Hash
from finegrid.records.identity import bytes_sha256, content_hash
from finegrid.records.source import source_digest
from kinds.contract import Examined
from kinds.registry import kind_named, modules

EXAMINED_FILE = "examined.jsonl"


class Examiner:
    """What is found in the files of tasks, kept in a file of a folder of results once there is one.

    It stands for as long as a file's content does, the source of the kind that reads it, and the
    packages that decode.
    """

    def __init__(self, file: Path | None = None, hashed: Hash | None = None) -> None:
        self.hashed = hashed or Hashes()
        self._lines = Lines(file)
        self._readers: dict[str, str] = {}
        """Kind -> a hash of all that decides what it finds in a file."""

    @classmethod
    def kept(cls, folder: Path) -> Self:
        """The one that keeps what it finds in a folder of what is prepared."""
        return cls(folder / EXAMINED_FILE, Hashes(folder / HASHES_FILE))

    def of_file(self, kind: str, path: Path) -> Examined:
        """What a file holds for a kind of task. Raises OSError."""
        key = self._key(kind, self.hashed(path))
        return self._known(key) or self._examined(kind, key, path.read_bytes())

    def of_content(self, kind: str, content: bytes) -> Examined:
        """What the bytes of a file hold."""
        key = self._key(kind, bytes_sha256(content))
        return self._known(key) or self._examined(kind, key, content)

    def _examined(self, kind: str, key: str, content: bytes) -> Examined:
        found = kind_named(kind).inputs.examine(content)
        self._lines.put(key, {"problem": found.problem, "facts": dict(found.facts)})
        return found

    def _known(self, key: str) -> Examined | None:
        found = self._lines.get(key)
        return Examined(**found) if isinstance(found, dict) else None  # type: ignore[arg-type]

    def _key(self, kind: str, sha256: str) -> str:
        if kind not in self._readers:
            packages = {name: version(name) for name in kind_named(kind).inputs.packages}
            self._readers[kind] = content_hash([source_digest(modules(kind)), packages])
        return f"{self._readers[kind]} {sha256}"
