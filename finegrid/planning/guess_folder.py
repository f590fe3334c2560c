"""What a folder of whole files is likely to be: its kind, its labels, its splits, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from finegrid.planning.guess import GROUPS, Guess, GuessError, Options, shares_of
from finegrid.planning.guess_columns import key_of
from finegrid.planning.guess_named import Named, guess_named
from finegrid.planning.own_folders import START_BYTES, passed_over
from finegrid.prepare.examined import Examiner
from finegrid.prepare.sources import tree_files
from kinds.contract import Examined
from kinds.registry import KINDS, kind_named
from tasks.file_kinds import needs_of
from tasks.file_options import Columns, Dropped, HeldOut, Metadata
from tasks.folder_layout import Layout, layout
from tasks.folder_rows import FolderReading, is_set_apart
from tasks.table_files import PLAIN, column_names

_LOOKED_AT = 20
"""Files whose first bytes are looked at."""
_SHOWN = 5
_LABEL = "label"
SECONDS = "seconds"
"""What is known of a file that lasts."""
_SECONDS = (1, 2, 3, 5, 8, 10, 15, 20, 30)


def guess_folder(folder: Path, given: Options, examiner: Examiner) -> Guess | None:
    """The guess for a task on a folder of images or sounds; None for what holds none of them.

    Raises GuessError, TableError, OSError.
    """
    names = tree_files(folder)
    kind = _kind(folder, names, given)
    if kind is None:
        return None
    named = guess_named(folder, names, given)
    reasons = [f"{kind}, for the folder holds {kind_named(kind).inputs.modality}", *named.reasons]
    label, dropped = named.label, list[str]()
    if not named.names_all:
        found = layout(names)
        columns, label = _metadata_columns(folder, found), given.label
        reasons += [*_of_labels(found, columns, given), *_of_groups(columns)]
        dropped = _set_apart(found, reasons)
    own: Columns | None = {_LABEL: label} if label and label != _LABEL else None
    reading = _reading(kind, own, dropped, named)
    if others := passed_over(folder, reading):
        shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        reasons.append(f"{len(others)} files are passed over: {shown}")
    rows = reading.members(folder, names).rows
    shares = shares_of({row.split for row in rows}, reasons)
    examined = [examiner.of_file(kind, folder / name) for name in sorted(row.name for row in rows)]
    length = max_length(kind, examined, reasons)
    said = (own, PLAIN, tuple(dropped), shares, length, tuple(reasons))
    return Guess(kind, *said, metadata=named.metadata, divided=named.split)


def _reading(
    kind: str, columns: Columns | None, dropped: Sequence[str], named: Named
) -> FolderReading:
    """How an entry with this guess is read."""
    split = HeldOut.model_validate(named.split) if named.split else None
    metadata = Metadata.model_validate(named.metadata) if named.metadata else None
    drop: Dropped = {_LABEL: tuple(dropped)} if dropped else {}
    return FolderReading(needs_of(kind), columns or {}, drop, split, PLAIN, metadata)


def _set_apart(found: Layout, reasons: list[str]) -> list[str]:
    """Folders that say by the form of their names that they are no label."""
    labels = sorted({one.label for one in found.files if one.label})
    apart = [label for label in labels if is_set_apart(label)]
    if apart:
        reasons.append(f"left out, for a name of that form is no label: {', '.join(apart)}")
    return apart


def max_length(kind: str, found: Sequence[Examined], reasons: list[str]) -> int | None:
    """The smallest usual length that holds nearly all files; None where files have no length."""
    inputs = kind_named(kind).inputs
    facts = [one.facts for one in found if one.facts]
    reasons.extend(inputs.remarks(facts) if facts else ())
    seconds = sorted(one[SECONDS] for one in facts if SECONDS in one)
    if not seconds:
        return None
    most = seconds[int(0.95 * (len(seconds) - 1))]
    length = next((one for one in _SECONDS if one >= most), _SECONDS[-1])
    reasons.append(f"max_length: {length}, for 95 % of the recordings last up to {most:.1f} s")
    return length


def kind_of_files(starts: Sequence[bytes], given: Options) -> str | None:
    """The kind of classes of files that most of those with these first bytes are."""
    if given.kind is not None:
        return given.kind if needs_of(given.kind).files else None
    wanted = [name for name in KINDS if needs_of(name).files and needs_of(name).classes]
    readers = {name: kind_named(name).inputs.is_readable for name in wanted}
    found = Counter(name for start in starts for name in wanted if readers[name](start))
    most = found.most_common(1)
    return most[0][0] if most and 2 * most[0][1] > len(starts) else None


def _kind(folder: Path, names: list[str], given: Options) -> str | None:
    """The kind of the files, by the first bytes of some."""
    step = max(1, len(names) // _LOOKED_AT)
    starts = []
    for name in names[::step]:
        with (folder / name).open("rb") as file:
            starts.append(file.read(START_BYTES))
    return kind_of_files(starts, given)


def _of_labels(found: Layout, columns: Sequence[str | int], given: Options) -> list[str]:
    """That labels are folders; without folders, that they have to be in metadata."""
    if given.label is not None:
        if given.label not in columns:
            raise GuessError(f"--label: {given.label!r} is no column of metadata{_shown(columns)}")
        return [f"each label is that of the file of metadata: {given.label}"]
    labels = sorted({one.label for one in found.files if one.label})
    if labels:
        shown = ", ".join(labels[:_SHOWN]) + (", ..." if len(labels) > _SHOWN else "")
        return [f"each label is the folder of its files: {shown}"]
    if not found.metadata:
        raise GuessError(
            "no file lies in a folder of its label; allowed: <label>/<file>, <split>/<label>/"
            "<file>, or a metadata.csv with file_name and label"
        )
    if _LABEL not in columns:
        raise GuessError(f"metadata has no column {_LABEL!r}{_shown(columns)}; say it: --label")
    return ["each label is that of the file of metadata"]


def _shown(columns: Sequence[str | int]) -> str:
    return f"; its columns are {', '.join(map(str, columns))}" if columns else ""


def _metadata_columns(folder: Path, found: Layout) -> list[str | int]:
    files = found.metadata.values()
    return [one for file in files for one in column_names(folder / file, "train")]


def _of_groups(columns: Sequence[str | int]) -> list[str]:
    groups = [one for one in columns if key_of(one) in GROUPS]
    return [f"split.group: {groups[0]} would keep the files of one in one split"] if groups else []
