"""Damaged files are kept, but out of the way of what makes them again."""

from itertools import chain, count
from pathlib import Path

QUARANTINE_FOLDER = "quarantine"


def quarantine(path: Path, folder: Path) -> Path:
    """Move a damaged file or folder into `quarantine/` in that folder; returns where it is then.

    What lies there under its name stays. Raises OSError.
    """
    home = folder / QUARANTINE_FOLDER
    home.mkdir(exist_ok=True)
    names = chain([path.name], (f"{path.name}.{n}" for n in count(1)))
    return path.rename(next(home / name for name in names if not (home / name).exists()))
