"""Where the files of a folder stand: split by split, label by label, as people lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from finegrid.records.identity import is_left_behind
from finegrid.records.prepared import SPLITS, SplitName
from tasks.split_words import splits_of
from tasks.table_files import TableError

METADATA = "metadata"
"""The stem of the file that says more of the files beside it, as the Hub's folders of images and
sounds have it."""
FILE_NAME = "file_name"
"""The column of it that names a file, from its own folder on."""
_METADATA_ENDINGS = (".csv", ".jsonl", ".parquet")
_ALLOWED = (
    "allowed: <label>/<file>, <split>/<label>/<file>, or a metadata.csv beside the files; or "
    "metadata, or split.lists with train, which name the files"
)


class Placed(NamedTuple):
    """A file below a folder."""

    name: str
    split: SplitName
    label: str | None
    """The folder that it lies in; None directly below its split."""


class Layout(NamedTuple):
    """The files of a folder."""

    files: tuple[Placed, ...]
    metadata: dict[SplitName | None, str]
    """Split -> its file of metadata; None for one that is of all splits."""
    passed_over: tuple[str, ...]
    """Files that are in no split's and no label's folder, such as a licence."""


def layout(names: Sequence[str]) -> Layout:
    """Where files of these names stand. Raises TableError for what is no layout."""
    inside, beside = _unwrapped({name: PurePosixPath(name).parts for name in names})
    metadata: dict[SplitName | None, str] = {}
    files: list[Placed] = []
    is_split = any(len(parts) > 1 and "train" in splits_of(parts[0]) for parts in inside.values())
    for split, members in _groups(inside, is_split=is_split).items():
        below, others = _unwrapped(members) if split else (members, [])
        beside += others
        for name, (*folders, file) in below.items():
            if len(folders) > 1:
                raise TableError(("files",), f"{name!r} lies too deep; {_ALLOWED}")
            if not folders and is_metadata(file):
                metadata[split] = name
            elif not folders and split is None and is_split:
                beside.append(name)
            else:
                files.append(Placed(name, split or "train", folders[0] if folders else None))
    for name in [name for name in beside if is_metadata(PurePosixPath(name).name)]:
        metadata[None] = name
        beside.remove(name)
    return Layout(tuple(files), metadata, tuple(beside))


_Parts = dict[str, tuple[str, ...]]


def _groups(inside: _Parts, *, is_split: bool) -> dict[SplitName | None, _Parts]:
    """The names of each split, with what is left of their parts; None for those of no split."""
    found: dict[SplitName | None, _Parts] = {}
    for name, parts in inside.items():
        split: SplitName | None = None
        if is_split and len(parts) > 1:
            splits = splits_of(parts[0])
            if len(splits) != 1:
                allowed = f"allowed: {', '.join(SPLITS)}"
                raise TableError(("files",), f"{parts[0]!r} is no split beside train; {allowed}")
            (split,) = splits
        found.setdefault(split, {})[name] = parts if split is None else parts[1:]
    return found


def _unwrapped(inside: _Parts) -> tuple[_Parts, list[str]]:
    """The parts below folders that hold all the others, and the files that lie beside these.

    A folder is such a wrapper where it is the only one, and holds folders or metadata.
    """
    beside: list[str] = []
    while True:
        deeper = {name: parts for name, parts in inside.items() if len(parts) > 1}
        is_one = len({parts[0] for parts in deeper.values()}) == 1
        wraps = any(len(parts) > 2 or is_metadata(parts[-1]) for parts in deeper.values())
        if not is_one or not wraps:
            return inside, beside
        beside += [name for name in inside if name not in deeper]
        inside = {name: parts[1:] for name, parts in deeper.items()}


def is_metadata(file: str) -> bool:
    """Whether a file of that name says more of the files beside it."""
    path = PurePosixPath(file)
    return path.stem == METADATA and path.suffix in _METADATA_ENDINGS


def empty_folders(folder: Path, names: Sequence[str]) -> list[str]:
    """Folders below one, hidden ones aside, that hold none of these files."""
    below = (path for path in sorted(folder.rglob("*")) if path.is_dir())
    shown = (path.relative_to(folder).as_posix() for path in below)
    filled = {above.as_posix() for name in names for above in PurePosixPath(name).parents}
    return [name for name in shown if name not in filled and not is_left_behind(name)]
