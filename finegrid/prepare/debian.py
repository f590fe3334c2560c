"""Debian packages: `ar` files whose member `data.tar` holds what is installed, as deb(5) says."""

from __future__ import annotations

import struct
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

DEBIAN_END = ".deb"
_MAGIC = b"!<arch>\n"
_HEADER = struct.Struct("16s12s6s6s8s10s2s")
"""Name, time, owner, group, mode and size of a member, and what ends its header."""
_HEADER_END = b"`\n"
_FORMAT, _FORMAT_MEMBER = "2", "debian-binary"
_DATA = "data.tar"
_READ = {_DATA: "", f"{_DATA}.gz": "gz", f"{_DATA}.xz": "xz", f"{_DATA}.bz2": "bz2"}
"""The names of data that Python unpacks -> how; those in zstd it reads from Python 3.14 alone."""
_PIECE_BYTES = 1 << 20


class DebianError(ValueError):
    """A file that is no whole Debian package, or one that is packed in an unknown way."""


@contextmanager
def opened_data(package: Path) -> Iterator[tarfile.TarFile]:
    """What a package would install, while it is open; none of its scripts is read.

    Raises DebianError, and what reading a damaged tar archive raises.
    """
    with package.open("rb") as stream, tempfile.TemporaryFile() as data:
        name = _copy_data(stream, data)
        data.seek(0)
        with tarfile.open(fileobj=data, mode=f"r:{_READ[name]}") as tar:  # type: ignore[call-overload]
            yield tar


def _copy_data(stream: IO[bytes], target: IO[bytes]) -> str:
    """Copy the packed data of a package, and return the name of the member that they are."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise DebianError("it is no Debian package")
    name, size = _member(stream)
    if name != _FORMAT_MEMBER:
        raise DebianError("it is no Debian package")
    version = _read(stream, size).decode("ascii", "replace").strip()
    if version.partition(".")[0] != _FORMAT:
        raise DebianError(f"its format is {version}; allowed: {_FORMAT}")
    while not name.startswith(_DATA):
        stream.seek(size % 2, 1)  # members begin at even places
        name, size = _member(stream)
        if not name.startswith(_DATA):
            stream.seek(size, 1)
    if name not in _READ:
        raise DebianError(f"its data are packed as {name}; allowed: {', '.join(_READ)}")
    for start in range(0, size, _PIECE_BYTES):
        target.write(_read(stream, min(_PIECE_BYTES, size - start)))
    return name


def _member(stream: IO[bytes]) -> tuple[str, int]:
    """Name and size of the member that begins here."""
    if not (header := stream.read(_HEADER.size)):
        raise DebianError(f"it holds no {_DATA}")
    if len(header) < _HEADER.size:
        raise DebianError("it is cut short")
    fields = _HEADER.unpack(header)
    name, size, end = fields[0], fields[5].strip(), fields[6]
    if end != _HEADER_END or not size.isdigit():
        raise DebianError("it is damaged: a member has no header")
    return name.decode("ascii", "replace").rstrip(" /"), int(size)


def _read(stream: IO[bytes], size: int) -> bytes:
    """The next bytes, all of them."""
    content = stream.read(size)
    if len(content) < size:
        raise DebianError("it is cut short")
    return content
