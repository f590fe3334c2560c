"""Text files as they are opened: compressed or not, in UTF-8, UTF-16 or what is said."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, cast

NEW_LINE = "\n"


def opened_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, those that were compressed of a `.gz`."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    return cast("IO[bytes]", opened(path, "rb"))


@contextmanager
def opened(path: Path, encoding: str | None, newline: str = "") -> Iterator[IO[str]]:
    """The text of a file; `newline` is what ends a line, "" what any program ends one with."""
    codec = codec_of(path, encoding)
    with opened_bytes(path) as raw, TextIOWrapper(raw, codec, newline=newline) as stream:
        yield stream


def codec_of(path: Path, encoding: str | None) -> str:
    """The encoding to read by; the mark that programs put before UTF-8 is no part of a name."""
    if encoding is not None:
        return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    with opened_bytes(path) as stream:
        start = stream.read(2)
    return "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def undecodable(path: Path, encoding: str | None) -> str:
    """The first line that is in another encoding; the decoder itself reads ahead, cannot tell."""
    name = encoding or "UTF-8"
    allowed = "allowed: a file in UTF-8, or format.encoding that names the file's own, as cp1252"
    if codec_of(path, encoding) != "utf-16":
        with opened_bytes(path) as lines:
            for number, line in enumerate(lines, 1):
                try:
                    line.decode(name)
                except UnicodeDecodeError as error:
                    byte = f"byte 0x{line[error.start]:02x}"
                    return f"{path.name}, line {number}: {byte} is no {name}; {allowed}"
    return f"{path.name} is no {codec_of(path, encoding)}; {allowed}"
