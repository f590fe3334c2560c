"""Prepared folders that are not what their manifests say: how they are found, and set aside."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from finegrid.records.base import Record
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.quarantine import quarantine

R = TypeVar("R", bound=Record)


class CorruptedFileError(Exception):
    """A prepared file is not the one that the manifest names, or the manifest is none."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.folder = path.parent


def read_manifest(kind: type[R], folder: Path) -> R:
    """The manifest in a prepared folder. Raises CorruptedFileError where it is none, or OSError."""
    try:
        return kind.read(folder / MANIFEST_FILE)
    except ValidationError as error:
        raise CorruptedFileError(folder / MANIFEST_FILE, str(error)) from error


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Compare every file with its recorded hash. Raises CorruptedFileError with both hashes."""
    for name, expected in files.items():
        found = file_sha256(folder / name)
        if found != expected:
            raise CorruptedFileError(folder / name, f"sha256 {found}, recorded {expected}")


def check_complete(folder: Path, files: Collection[str]) -> None:
    """Refuse files beside those of the manifest: transformers would find and load some of them.

    It looks for none that is hidden, as those are that file systems leave.
    """
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if unknown := names - {*files, MANIFEST_FILE}:
        raise CorruptedFileError(folder / min(unknown), f"{MANIFEST_FILE} does not name it")


def set_aside(prepared: Path) -> str:
    """Move a damaged prepared folder away, so that Snakemake makes it again; what was done."""
    try:
        moved = quarantine(prepared, prepared.parent)
    except OSError as error:
        return f"delete the folder, and it is prepared again; it was not moved: {error}"
    return f"moved to {moved}: the next call of Snakemake prepares it again"
