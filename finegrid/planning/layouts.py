"""Where the splits of a folder lie, by the names of its files: the layouts that people have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from finegrid.records.prepared import SPLITS, SplitName
from tasks.parallel_texts import check_found, side_by_side
from tasks.split_words import splits_of
from tasks.table_files import ENDINGS, TableError, ending_of

_SHARD = re.compile(r"-(\d+)-of-(\d+)(?=\.)")
_SHOWN = 10
Layout = dict[SplitName, tuple[str, ...]]
"""The files of each split; a name that ends with a slash is a folder of texts of one label."""


def table_layout(names: Iterable[str], group: str | None = None) -> Layout:
    """The table files of each split.

    A split is a word of a file's name, else the name of its folder. Files that lie deeper belong to
    a group, such as a configuration of the Hub: `group`, else the folder itself, else its only one.
    Raises TableError where that does not tell.
    """
    return _layout([name for name in names if ending_of(name) in ENDINGS], group)


def parallel_layout(
    names: Sequence[str], columns: Sequence[str | int], group: str | None = None
) -> Layout:
    """The files of each split that lie side by side, as those of the languages of a translation.

    Their names differ in that alone; without it they say of the splits what those of tables do.
    Raises TableError where that does not tell.
    """
    sets = side_by_side(names, columns)
    check_found(sets, columns, _listed(names))
    found = _layout([*sets], group)
    return {split: tuple(one for name in found[split] for one in sets[name]) for split in found}


def _layout(tables: Sequence[str], group: str | None) -> Layout:
    """The files of each split. Raises TableError where their names do not tell."""
    groups: dict[str, dict[SplitName, list[str]]] = {}
    for name in tables:
        for split, folder in _place(name):
            groups.setdefault(folder, {}).setdefault(split, []).append(name)
    if not groups and group is None and len(tables) == 1:
        return {"train": (tables[0],)}
    found = groups.get(_chosen(groups, group), {})
    if "train" not in found:
        raise TableError(("files",), f"no training file among {_listed(tables)}; {_ALLOWED}")
    return {split: _shards(split, sorted(found[split])) for split in SPLITS if split in found}


_ALLOWED = (
    "allowed: train, validation (valid, val, dev) and test in the names of files or their folders, "
    "or files that names the file of each split"
)


def _place(name: str) -> Iterable[tuple[SplitName, str]]:
    """The split of a file and the folder of its group, where the name tells one split."""
    *folders, file = PurePosixPath(name).parts
    found = splits_of(file.partition(".")[0]) or splits_of(PurePosixPath(file).stem)
    if not found and folders and (found := splits_of(folders[-1])):
        folders = folders[:-1]
    if folders[:1] == ["data"]:
        folders = folders[1:]
    return [(found.pop(), "/".join(folders))] if len(found) == 1 else []


def splits_named(name: str) -> set[SplitName]:
    """The split that the name of a file, or of its folder, tells; none, where it tells none."""
    return {split for split, _ in _place(name)}


def _chosen(groups: Mapping[str, object], group: str | None) -> str:
    if group in groups or not groups:
        return group or ""
    if group is None and ("" in groups or len(groups) == 1):
        return "" if "" in groups else next(iter(groups))
    what = "several data sets" if group is None else f"no {group!r} below it"
    below = [name for name in sorted(groups) if name]
    allowed = f"one of {_listed(below)}, by its path" if below else "nothing after its name"
    raise TableError(("files",), f"{what}; allowed: {allowed}")


def _shards(split: SplitName, names: list[str]) -> tuple[str, ...]:
    """The files of a split, if they are one, or all the shards of one."""
    alike = {re.sub(r"\d+", "0", name) for name in names}
    if len(alike) > 1:
        allowed = "allowed: one, or its shards; or files that names the file of each split"
        raise TableError(("files",), f"{split} may be any of {_listed(names)}; {allowed}")
    shards = [match for name in names if (match := _SHARD.search(name))]
    if shards:
        count = int(shards[0][2])
        if [int(match[1]) for match in shards] != list(range(count)):
            problem = f"{split} has {len(shards)} shards, {_listed(names)}; allowed: all {count}"
            raise TableError(("files",), problem)
    return tuple(names)


def text_layout(names: Iterable[str], dropped: Sequence[str] = ()) -> Layout | None:
    """The folders of texts of each split, `train/pos/` or `pos/` alone, without `dropped` labels.

    None where texts do not lie in folders of at least two labels. Raises TableError where the
    splits have other labels.
    """
    found: dict[SplitName, dict[str, str]] = {}
    for name in names:
        *folders, file = PurePosixPath(name).parts
        split = _split_folder(folders)
        if split is not None and file.lower().endswith(".txt") and folders[-1] not in dropped:
            found.setdefault(split, {})[folders[-1]] = "/".join(folders) + "/"
    if not found or any(len(labels) < 2 for labels in found.values()):
        return None
    for split, labels in found.items():
        if more := sorted(set(found.get("train", labels)) ^ set(labels)):
            allowed = f"allowed: the same in all, or drop: {{label: {more}}}"
            problem = f"{split} and train differ in the folders {_listed(more)}; {allowed}"
            raise TableError(("files",), problem)
    return {split: tuple(sorted(found[split].values())) for split in SPLITS if split in found}


def _split_folder(folders: Sequence[str]) -> SplitName | None:
    """The split of a text in `<split>/<label>/`, or in `<label>/` alone, which is trained on."""
    if len(folders) == 2 and len(found := splits_of(folders[0])) == 1:
        return found.pop()
    return "train" if len(folders) == 1 and not splits_of(folders[0]) else None


def _listed(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return (", ".join(map(repr, names[:_SHOWN])) or "no table file") + more
