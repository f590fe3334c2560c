"""Archives, those of packages and those of data, and the files in them."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from finegrid.prepare.debian import DEBIAN_END, DebianError, opened_data
from finegrid.records.identity import is_left_behind

_ZIPS = (".whl", ".zip")
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError),
    *(RuntimeError, DebianError),
)
"""What reading a damaged archive raises, or one that is packed in an unknown way or encrypted."""


class SourceError(Exception):
    """A source that is badly named, lacks a file, or does not hold what its hash promises."""


class DownloadError(SourceError, OSError):
    """A source that could not be reached, or that the other side refused."""


def unpack(archive: Path, path: str, scratch: Path) -> dict[str, Path]:
    """Copy what a source names out of an archive: name -> file in `scratch`.

    `path` is that of one file, which goes by its base name, or ends in `/` and is that of a folder,
    whose files go by their names below it. Links are no files. Raises SourceError.
    """
    is_folder = path.endswith("/")
    with _opened(archive) as members:
        chosen = [one for one in members if one.name == path or one.is_below(path)]
        if not chosen or (len(chosen) > 1 and not is_folder):
            what = "folder" if is_folder else "file"
            raise SourceError(f"{what} {path} not found in {archive.name}")
        found = {}
        for one in chosen:
            check_name(one.whole_name)
            short = one.name.removeprefix(path) if is_folder else PurePosixPath(path).name
            stream = one.read()
            if stream is not None:
                found[short] = _write(stream, scratch / "unpacked" / short)
            elif not is_folder:
                raise SourceError(f"file {path} in {archive.name} is no regular file")
    return found


def unpack_whole(archive: Path, target: Path) -> None:
    """Copy the regular files of an archive below a folder, under the names that they have in it.

    Links, and what file managers leave, are no files. Raises SourceError for a name that leads
    outside, and for an archive that is damaged or holds no file.
    """
    count = 0
    with _opened(archive) as members:
        for one in members:
            if not one.whole_name.strip("./"):
                continue  # the folder itself
            check_name(one.whole_name)
            if is_left_behind(one.whole_name.removeprefix("./").rstrip("/")):
                continue
            if (stream := one.read()) is not None:
                _write(stream, target / one.whole_name)
                count += 1
    if not count:
        raise SourceError(f"{archive.name} holds no files")


def check_name(name: str) -> None:
    """Refuse a name that would leave the folder that it belongs to. Raises SourceError."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in name:
        raise SourceError(f"{name!r}: the name leads outside of its folder")


def _write(stream: IO[bytes], target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out)
    return target


@dataclass(frozen=True)
class _Member:
    """One member of an archive."""

    whole_name: str
    name: str
    """As a source says it: of an sdist below its top folder, of a Debian package below the root."""
    read: Callable[[], IO[bytes] | None]
    """Its bytes; None of a link and whatever else is no regular file."""

    def is_below(self, path: str) -> bool:
        """Whether the member lies in the folder of that path, which ends in `/`."""
        return path.endswith("/") and self.name.startswith(path) and not self.name.endswith("/")


@contextmanager
def _opened(archive: Path) -> Iterator[list[_Member]]:
    """The members of an archive, while it is open. Raises SourceError for a damaged one."""
    try:
        if archive.name.lower().endswith(_ZIPS):
            with zipfile.ZipFile(archive) as wheel:
                yield [_of_zip(wheel, one) for one in wheel.infolist()]
        elif archive.name.endswith(DEBIAN_END):
            with opened_data(archive) as tar:
                yield [_of_tar(tar, one, one.name.removeprefix("./")) for one in tar]
        else:
            with tarfile.open(archive) as tar:
                yield [_of_tar(tar, one, one.name.partition("/")[2]) for one in tar]
    except _BROKEN as error:
        raise SourceError(f"{archive.name}: {error}") from error
    except OSError as error:
        if error.errno is None:  # of a decoder: what the system raises has a number
            raise SourceError(f"{archive.name}: {error}") from error
        raise


def _of_zip(wheel: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    name = info.filename
    # A link of Unix has its own mark in the upper half of the attributes.
    is_regular = not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
    return _Member(name, name, lambda: wheel.open(info) if is_regular else None)


def _of_tar(tar: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> _Member:
    return _Member(info.name, name, lambda: tar.extractfile(info) if info.isreg() else None)
