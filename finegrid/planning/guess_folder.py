"""What a folder of whole files is likely to be: its kind, its labels, its splits, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from finegrid.planning.guess import GROUPS, Guess, GuessError, Options, key_of, shares_of
from finegrid.planning.own_folders import START_BYTES, passed_over
from finegrid.prepare.examined import Examiner
from finegrid.records.identity import shown_files
from kinds.contract import Examined
from kinds.registry import KINDS, kind_named
from tasks.file_kinds import needs_of
from tasks.file_options import Columns
from tasks.folder_layout import Layout, layout
from tasks.folder_rows import FolderReading
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
    names = shown_files(folder)
    kind = _kind(folder, names, given)
    if kind is None:
        return None
    found = layout(names)
    reasons = [f"{kind}, for the folder holds {kind_named(kind).inputs.modality}"]
    columns = _metadata_columns(folder, found)
    reasons += [*_of_labels(found, columns, given), *_of_groups(columns)]
    if others := passed_over(folder, FolderReading(needs_of(kind))):
        shown = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        reasons.append(f"{len(others)} files are passed over: {shown}")
    splits = {one.split: () for one in found.files}
    shares = shares_of(splits, reasons)
    labelled = {one.name for one in found.files if one.label or found.metadata} - set(others)
    examined = [examiner.of_file(kind, folder / name) for name in sorted(labelled)]
    length = max_length(kind, examined, reasons)
    own: Columns | None = {_LABEL: given.label} if given.label and given.label != _LABEL else None
    return Guess(kind, own, PLAIN, (), shares, length, tuple(reasons))


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
