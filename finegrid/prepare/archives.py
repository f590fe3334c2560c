"""Archives: those of a package index, by hash, those of data, and the files in them."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from finegrid.records.identity import is_left_behind

_SDIST_END, _WHEEL_END = ".tar.gz", ".whl"
_PIP_READS = re.compile(
    r"(PIP|SSL|XDG|LC)_\w+|(https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY|REQUESTS_CA_BUNDLE|"
    r"CURL_CA_BUNDLE|PATH|HOME|LANG|TMPDIR|VIRTUAL_ENV"
)
"""Variables that pip gets: it runs the build of a source distribution, which gets them as well."""
_ZIPS = (_WHEEL_END, ".zip")
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError),
    RuntimeError,
)
"""What reading a damaged archive raises, or one that is packed in an unknown way or encrypted."""


class SourceError(Exception):
    """A source that is badly named, lacks a file, or does not hold what its hash promises."""


class DownloadError(SourceError, OSError):
    """A source that could not be reached, or that the other side refused."""


@dataclass(frozen=True)
class Archive:
    """An archive of a package index, by the hash that a source lists of it."""

    project: str
    version: str
    name: str
    """Of its file."""
    sha256: str

    @property
    def is_wheel(self) -> bool:
        """Whether the archive is a wheel, else a source distribution."""
        return self.name.endswith(_WHEEL_END)

    def download(self, folder: Path) -> Path:
        """Download the archive with pip into a folder; pip checks the hash before all else.

        Of a source distribution pip reads the metadata by running its build, with the rights of
        the user, but without the keys in the environment. Of a wheel nothing is run. Raises
        DownloadError where pip fails, SourceError where it brings another archive.
        """
        requirement = f"{self.project}=={self.version}"
        requirements, target = folder / "requirements.txt", folder / "archive"
        requirements.write_text(f"{requirement} --hash=sha256:{self.sha256}\n", encoding="utf-8")
        form = ["--only-binary", ":all:"] if self.is_wheel else ["--no-binary", ":all:"]
        options = ["--no-deps", *form, "--no-build-isolation", "--require-hashes"]
        # -P: no pip.py of the working folder.
        command = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check"]
        done = subprocess.run(  # noqa: S603 - no shell; the requirement's form was checked
            [*command, *options, "--requirement", str(requirements), "--dest", str(target)],
            env={name: value for name, value in os.environ.items() if _PIP_READS.fullmatch(name)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DownloadError(f"{requirement}: pip cannot download it: {done.stderr.strip()}")
        found = next(target.glob(f"*{_WHEEL_END if self.is_wheel else _SDIST_END}"), None)
        if found is None:
            raise SourceError(f"{requirement}: its source distribution is no .tar.gz archive")
        return found


def listed_archive(uri: str, parts: Mapping[str, str], sha256: Mapping[str, str]) -> str:
    """The name of the archive of an `sdist:` or `wheel:` source, which its hashes have to list.

    Raises SourceError where none does.
    """
    if not uri.startswith("wheel:"):
        name = f"{parts['project']}-{parts['version']}{_SDIST_END}"
        if name not in sha256:
            raise SourceError(f"{uri}: sha256 must list the archive itself, {name}")
        return name
    # A wheel's name ends in the machines that it is for, which the source does not say.
    start = f"{re.sub(r'[-_.]+', '_', parts['project']).lower()}-{parts['version']}-"
    found = [name for name in sha256 if name.endswith(_WHEEL_END) and "/" not in name]
    if len(found) != 1 or not found[0].lower().startswith(start):
        raise SourceError(f"{uri}: sha256 must list the archive itself, {start}...{_WHEEL_END}")
    return found[0]


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
    """Of an sdist's member below the top folder of the archive."""
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
        else:
            with tarfile.open(archive) as tar:
                yield [_of_tar(tar, one) for one in tar]
    except _BROKEN as error:
        raise SourceError(f"{archive.name}: {error}") from error


def _of_zip(wheel: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    name = info.filename
    # A link of Unix has its own mark in the upper half of the attributes.
    is_regular = not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
    return _Member(name, name, lambda: wheel.open(info) if is_regular else None)


def _of_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    name = info.name.partition("/")[2]
    return _Member(info.name, name, lambda: tar.extractfile(info) if info.isreg() else None)
