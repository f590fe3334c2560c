"""Archives among the files of a folder, which stand for the folders that they unpack to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from finegrid.prepare.archives import SourceError, unpack_whole
from finegrid.prepare.sources import tree_files

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_packed(name: str) -> bool:
    """Whether a file of that name is an archive."""
    return name.lower().endswith(ENDINGS)


def unpacked_name(name: str) -> str:
    """The folder that an archive stands for: `data/train` of `data/train.zip`."""
    ending = max((one for one in ENDINGS if name.lower().endswith(one)), key=len)
    return name[: -len(ending)]


def unpack_below(folder: Path) -> None:
    """Put in the place of each archive below a folder what it unpacks to.

    Raises SourceError for a damaged archive, and for one beside a folder of its name.
    """
    for name in filter(is_packed, names := tree_files(folder)):
        _unpack(folder / name, folder, name, names)
        (folder / name).unlink()


@contextmanager
def opened(place: Path) -> Iterator[Path]:
    """A folder in which no archive is left: the folder itself, or one that lasts as long as this.

    `place` is a folder, or one archive. Raises SourceError, OSError.
    """
    root, names = (place, tree_files(place)) if place.is_dir() else (place.parent, [place.name])
    if not any(map(is_packed, names)):
        yield place
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            if is_packed(name):
                _unpack(root / name, Path(scratch), name, names)
            else:
                target = Path(scratch, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.path.realpath(root / name))
        yield Path(scratch)


def _unpack(archive: Path, root: Path, name: str, names: Iterable[str]) -> None:
    """Unpack an archive below `root`, unless files lie there already."""
    inside = unpacked_name(name)
    if any(one.startswith(f"{inside}/") for one in names):
        raise SourceError(f"{name} and {inside}/ are both there; allowed: one of the two")
    unpack_whole(archive, root / inside)
