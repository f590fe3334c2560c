"""What a folder of whole files is likely to be: its kind, its labels, its splits, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from finegrid.planning.guess import GROUPS, Guess, GuessError, Options, key_of, shares_of
from finegrid.planning.own_folders import START_BYTES, passed_over
from finegrid.records.identity import shown_files
from kinds.registry import KINDS, kind_named
from tasks.file_kinds import needs_of
from tasks.folder_layout import Layout, layout
from tasks.folder_rows import FolderReading
from tasks.table_files import PLAIN, column_names

_LOOKED_AT = 20
"""Files whose first bytes are looked at."""
_SHOWN = 5


def guess_folder(folder: Path, given: Options) -> Guess | None:
    """The guess for a task on a folder of images or sounds; None for what holds none of them.

    Raises GuessError, TableError, OSError.
    """
    names = shown_files(folder)
    kind = _kind(folder, names, given)
    if kind is None:
        return None
    found = layout(names)
    reasons = [f"{kind}, for the folder holds {kind_named(kind).inputs.modality}"]
    reasons += [*_of_labels(found), *_of_metadata(folder, found)]
    if others := passed_over(folder, FolderReading(needs_of(kind))):
        shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        reasons.append(f"{len(others)} files are passed over: {shown}")
    splits = {one.split: () for one in found.files}
    shares = shares_of(splits, reasons)
    return Guess(kind, None, PLAIN, (), shares, None, tuple(reasons))


def _kind(folder: Path, names: list[str], given: Options) -> str | None:
    """The kind of classes of files that most of those looked at are."""
    wanted = [name for name in KINDS if needs_of(name).files and needs_of(name).classes]
    if given.kind is not None:
        return given.kind if needs_of(given.kind).files else None
    step = max(1, len(names) // _LOOKED_AT)
    found: Counter[str] = Counter()
    for name in names[::step]:
        with (folder / name).open("rb") as file:
            start = file.read(START_BYTES)
        found.update(one for one in wanted if kind_named(one).inputs.is_readable(start))
    most = found.most_common(1)
    return most[0][0] if most and 2 * most[0][1] > len(names[::step]) else None


def _of_labels(found: Layout) -> list[str]:
    """That labels are folders; without folders, that they have to be in metadata."""
    labels = sorted({one.label for one in found.files if one.label})
    if labels:
        shown = ", ".join(labels[:_SHOWN]) + (", ..." if len(labels) > _SHOWN else "")
        return [f"each label is the folder of its files: {shown}"]
    if not found.metadata:
        raise GuessError(
            "no file lies in a folder of its label; allowed: <label>/<file>, <split>/<label>/"
            "<file>, or a metadata.csv with file_name and label"
        )
    return ["each label is that of the file of metadata"]


def _of_metadata(folder: Path, found: Layout) -> list[str]:
    columns = [
        one for file in found.metadata.values() for one in column_names(folder / file, "train")
    ]
    groups = [one for one in columns if key_of(one) in GROUPS]
    return [f"split.group: {groups[0]} would keep the files of one in one split"] if groups else []
