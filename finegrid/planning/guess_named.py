"""What tables and lists of a folder are likely to say of its files: names, labels, splits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import JsonValue

from finegrid.planning.guess import GuessError, Options, label_of
from finegrid.planning.guess_columns import columns_of, key_of
from finegrid.records.prepared import SPLITS, SplitName
from tasks.file_options import as_text
from tasks.folder_layout import is_metadata
from tasks.named_files import list_lines
from tasks.split_words import splits_of
from tasks.table_files import PLAIN, TableError, column_names, ending_of, read_rows

_TABLES = (".csv", ".tsv")
_LIST = ".txt"
_SPLIT_COLUMNS = ("split", "set", "subset", "partition", "datasplit", "fold", "folds")
_LEAST_FOLDS = 3
_FOLDERS_OF_NO_LABEL = 3
"""That of the files, that of the table, and the one above both."""
_SPEAKER = re.compile(r"([^/]+)_nohash_")
"""What stands before it in a name is who speaks, as Speech Commands has it."""
_Table = dict[str, list[str]]
"""The values of each column, as text."""


@dataclass
class Named:
    """What an entry says of the tables and lists of a folder, and the reasons."""

    metadata: dict[str, JsonValue] | None = None
    split: dict[str, JsonValue] = field(default_factory=dict)
    label: str | None = None
    """The column of the label; None where it is the folder of a file."""
    reasons: list[str] = field(default_factory=list)

    @property
    def names_all(self) -> bool:
        """Whether what is not named is no example."""
        return self.metadata is not None or "train" in self.lists

    @property
    def lists(self) -> dict[SplitName, str]:
        """The list of each split that has one."""
        found: Any = self.split.get("lists", {})
        return dict(found)


def guess_named(folder: Path, names: Sequence[str], given: Options) -> Named:
    """What the tables and lists among a folder's files say. Raises GuessError, OSError."""
    found = Named()
    tables = (name for name in names if ending_of(name) in _TABLES)
    for name in tables:
        path = None if is_metadata(PurePosixPath(name).name) else _of_table(folder, name, names)
        if path is not None and _of_columns(folder / name, names, found, given):
            found.metadata = {"files": name, "path": path}
            found.reasons.insert(0, f"{name} names the files: {path}")
            break
    if "values" not in found.split:
        _of_lists(folder, names, found)
    speakers = [name for name in names if _SPEAKER.search(name)]
    if 2 * len(speakers) > len(names):
        found.split["group_pattern"] = _SPEAKER.pattern
        found.reasons.append("what stands before _nohash_ in a name, the speaker, is in one split")
    return found


def _of_table(folder: Path, name: str, names: Sequence[str]) -> str | None:
    """The template of the files that a table names, every row one; None where it names none."""
    try:
        table = _read(folder / name)
    except TableError:
        return None  # such as a table of something else, in another encoding
    by_stem: dict[str, str] = {}
    for one in names:
        by_stem.setdefault(PurePosixPath(one).stem, one)
    for column, values in table.items():
        files = [by_stem.get(PurePosixPath(value).stem if value else "") for value in values]
        whole = [one for one in files if one is not None]
        if len(whole) == len(values) and len(set(whole)) == len(whole) and whole:
            return _template(column, values, whole, table)
    return None


def _read(path: Path) -> _Table:
    columns = [str(one) for one in column_names(path, "train") if one]
    if len(set(columns)) < len(columns):
        return {}
    wanted = {name: name for name in columns}
    rows = [values for _, values in read_rows(path, wanted, "train")]
    texts = [[as_text(value).strip() for value in values] for values in rows]
    return {name: [row[at] for row in texts] for at, name in enumerate(columns)}


def _template(
    column: str, values: Sequence[str], files: Sequence[str], table: Mapping[str, list[str]]
) -> str | None:
    """Where the files lie, by one column, or by that and one more, as that of a fold."""
    cut = [file.rpartition(value) for file, value in zip(files, values, strict=True)]
    if any(not value for _, value, _ in cut) or len({after for _, _, after in cut}) > 1:
        return None
    before, (_, _, ending) = [one for one, _, _ in cut], cut[0]
    named = f"{{{column}}}{ending}"
    if len(set(before)) == 1:
        return before[0] + named
    for other, more in table.items():
        start, _, end = before[0].rpartition(more[0]) if more[0] else ("", "", "")
        if all(f"{start}{value}{end}" == one for value, one in zip(more, before, strict=True)):
            return f"{start}{{{other}}}{end}{named}"
    return None


def _of_columns(path: Path, names: Sequence[str], found: Named, given: Options) -> bool:
    """Whether a table has a column of labels, which it needs unless folders are the labels."""
    columns = columns_of([path], PLAIN)
    by_key = {key_of(one.name): str(one.name) for one in columns}
    split = next((by_key[key] for key in _SPLIT_COLUMNS if key in by_key), None)
    labels = [one for one in columns if str(one.name) != split]
    try:
        found.label = str(label_of(labels, given, found.reasons).name)
    except GuessError:
        if len({PurePosixPath(name).parent for name in names}) > _FOLDERS_OF_NO_LABEL:
            return False
        raise
    if split is not None:
        _of_split(path, split, found)
    return True


def _of_split(path: Path, split: str, found: Named) -> None:
    """The splits by the values of a column that is called as one of splits or folds is."""
    values = sorted({value for value in _read(path)[split] if value})
    parts = _by_word(values) or _by_fold(values)
    if parts:
        values_of: dict[str, JsonValue] = {str(name): [*one] for name, one in parts.items()}
        found.split |= {"column": split, "values": values_of}
        shown = ", ".join(f"{name} is {' or '.join(map(str, one))}" for name, one in parts.items())
        found.reasons.append(f"splits by the column {split}: {shown}")


def _by_word(values: Sequence[str]) -> dict[SplitName, list[str]]:
    """The values of each split, where every value is a word for one; {} elsewhere."""
    parts: dict[SplitName, list[str]] = {}
    for value in values:
        words = splits_of(value)
        if len(words) != 1:
            return {}
        parts.setdefault(words.pop(), []).append(value)
    return parts if "train" in parts else {}


def _by_fold(values: Sequence[str]) -> dict[SplitName, list[str]]:
    """The last fold for test and the one before it for validation, as numbers order them."""
    if len(values) < _LEAST_FOLDS or not all(map(str.isdecimal, values)):
        return {}
    folds = sorted(values, key=int)
    return {"validation": folds[-2:-1], "test": folds[-1:]}


def _of_lists(folder: Path, names: Sequence[str], found: Named) -> None:
    """The lists of files whose names call splits."""
    lists: dict[SplitName, str] = {}
    for name in names:
        parts = splits_of(PurePosixPath(name).stem)
        if name.lower().endswith(_LIST) and len(parts) == 1:
            part = parts.pop()
            if part in lists:
                return  # which one is meant has to be said
            lists[part] = name
    lists = {part: lists[part] for part in SPLITS if part in lists}
    lines = [line for name in lists.values() for line in _lines(folder / name)]
    path = _path_of(lines, names)
    if path is None:
        return
    found.split["lists"] = {str(part): name for part, name in lists.items()}
    if path != "{}":
        found.split["path"] = path
    found.reasons.append(f"splits by lists of files: {', '.join(lists.values())}")


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from (line for _, line in list_lines(path, ()))
    except TableError:
        yield ""  # no list, which no file is called


def _path_of(lines: Sequence[str], names: Sequence[str]) -> str | None:
    """Where the listed files lie, `{}` for a line; None where they are no files."""
    known = set(names)
    if not lines or not lines[0]:
        return None
    fitting = (name.rpartition(lines[0]) for name in names if lines[0] in name)
    for before, _, after in fitting:
        is_whole = before == "" or before.endswith("/")
        if is_whole and "/" not in after and all(f"{before}{one}{after}" in known for one in lines):
            return f"{before}{{}}{after}"
    return None
