"""Archives that are downloaded, each by its hash, and the programs that bring them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finegrid.prepare.archives import DownloadError, SourceError
from finegrid.prepare.debian import DEBIAN_END

_SDIST_END, _WHEEL_END = ".tar.gz", ".whl"
ENDS = {"sdist": _SDIST_END, "wheel": _WHEEL_END, "deb": DEBIAN_END}
"""Scheme of a source that is a part of an archive -> what the archive's name ends in."""
_OF_MANY = r"(https?|all|no)_proxy|(HTTPS?|ALL|NO)_PROXY|LC_\w+|PATH|HOME|LANG|TMPDIR"
_PIP_READS = re.compile(
    rf"{_OF_MANY}|(PIP|SSL|XDG)_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|VIRTUAL_ENV"
)
"""Variables that pip gets: it runs the build of a source distribution, which gets them as well."""
_APT_READS = re.compile(rf"{_OF_MANY}|APT_CONFIG")
_EPOCH = re.compile(r"[0-9]+:")
_ANY_MACHINE = "all"


@dataclass(frozen=True)
class Archive(ABC):
    """An archive that others keep, by the hash that a source lists of it."""

    project: str
    version: str
    name: str
    """Of its file."""
    sha256: str

    @abstractmethod
    def download(self, folder: Path, kept: Path) -> Path:
        """Download the archive into a folder, which is empty.

        `kept` is the folder of archives that need no download. Raises DownloadError where the
        program fails that brings it, SourceError where it brings another archive.
        """

    def __str__(self) -> str:
        return f"{self.project}=={self.version}"


class IndexArchive(Archive):
    """A source distribution or a wheel of a package index."""

    def download(self, folder: Path, kept: Path) -> Path:
        """Download the archive with pip, which checks the hash before all else.

        Of a source distribution pip reads the metadata by running its build, with the rights of
        the user, but without the keys in the environment. Of a wheel nothing is run.
        """
        requirements, target = folder / "requirements.txt", folder / "archive"
        requirements.write_text(f"{self} --hash=sha256:{self.sha256}\n", encoding="utf-8")
        is_wheel = self.name.endswith(_WHEEL_END)
        form = ["--only-binary" if is_wheel else "--no-binary", ":all:"]
        options = ["--no-deps", *form, "--no-build-isolation", "--require-hashes"]
        # -P: no pip.py of the working folder.
        command = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check"]
        places = ["--requirement", str(requirements), "--dest", str(target)]
        done = _run([*command, *options, *places], _PIP_READS)
        if done.returncode:
            raise DownloadError(f"{self}: pip cannot download it: {done.stderr.strip()}")
        found = next(target.glob(f"*{_WHEEL_END if is_wheel else _SDIST_END}"), None)
        if found is None:
            raise SourceError(f"{self}: its source distribution is no .tar.gz archive")
        return found


class DebianArchive(Archive):
    """A package of Debian, or of a distribution like it."""

    def download(self, folder: Path, kept: Path) -> Path:
        """Download the package with apt-get, which installs nothing and runs nothing of it."""
        program = shutil.which("apt-get")
        if program is None:
            raise self._missing("apt-get, which brings it, is not on this machine", kept)
        architecture = self.name.removesuffix(DEBIAN_END).rpartition("_")[2]
        which = "" if architecture == _ANY_MACHINE else f":{architecture}"
        wanted = f"{self.project}{which}={self.version}"
        done = _run([program, "download", "--quiet", wanted], _APT_READS, folder)
        found = next(folder.glob(f"*{DEBIAN_END}"), None)
        if done.returncode or found is None:
            said = " ".join(line for line in done.stderr.splitlines() if line.startswith("E:"))
            problem = f"apt-get cannot bring it: {said or 'it says no more'}"
            raise self._missing(f"{problem}; `apt-get update` may be needed", kept)
        return found

    def _missing(self, problem: str, kept: Path) -> DownloadError:
        allowed = f"allowed: the file {self.name} with sha256 {self.sha256} in {kept}"
        return DownloadError(f"{self}: {problem}; {allowed}")


def _run(
    command: Sequence[str], reads: re.Pattern[str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program without a shell, in a folder, with those variables that it reads."""
    return subprocess.run(  # noqa: S603 - no shell; the form of what is asked for was checked
        command,
        env={name: value for name, value in os.environ.items() if reads.fullmatch(name)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def is_archived(uri: str) -> bool:
    """Whether a source is a part of an archive, which its `sha256` lists beside its files."""
    return uri.partition(":")[0] in ENDS


def listed_archive(uri: str, parts: Mapping[str, str], sha256: Mapping[str, str]) -> Archive:
    """The archive that a source is a part of, which its hashes have to list.

    Raises SourceError where none does.
    """
    scheme = uri.partition(":")[0]
    start, rest = _naming(scheme, parts)
    pattern = re.compile(re.escape(start) + r"[^/]*" * bool(rest) + re.escape(ENDS[scheme]), re.I)
    found = [name for name in sha256 if pattern.fullmatch(name)]
    if len(found) != 1:
        expected = f"{start}{rest}{ENDS[scheme]}"
        raise SourceError(f"{uri}: sha256 must list the archive itself, {expected}")
    kind = DebianArchive if scheme == "deb" else IndexArchive
    return kind(parts["project"], parts["version"], found[0], sha256[found[0]])


def _naming(scheme: str, parts: Mapping[str, str]) -> tuple[str, str]:
    """What an archive's name begins with, and what of it a source does not say, if anything."""
    project, version = parts["project"], parts["version"]
    if scheme == "deb":
        return f"{project}_{_EPOCH.sub('', version, count=1)}_", "<architecture>"
    if scheme == "wheel":
        return f"{re.sub(r'[-_.]+', '_', project).lower()}-{version}-", "..."
    return f"{project}-{version}", ""
