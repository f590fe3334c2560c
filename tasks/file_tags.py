"""The tags of a user's own files: found in the training rows, named and ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from finegrid.records.prepared import SplitName
from kinds.inputs.entity_spans import SPANS, both_signs
from tasks.file_labels import canonical, find_labels, listed_labels, named_classes
from tasks.file_options import ClassNames
from tasks.table_files import TableError

if TYPE_CHECKING:
    import pyarrow as pa

TAGS = "tags"
"""The column, and what is true of a row."""
Tables = Mapping[SplitName, "pa.Table"]


def survey_tags(
    rows: Tables, given: ClassNames | None, stored: Sequence[str], *, of_spans: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...], dict[SplitName, pa.Table]]:
    """The tags as they are written, their names, and the rows with named tags.

    They are those of the training rows. Names that are given, or stored, may be of more tags: these
    may occur elsewhere, and so may, of the tags of entities that places name, B- and I- of each
    type. Raises TableError.
    """
    found = find_labels(rows["train"][TAGS].combine_chunks().flatten().unique().to_pylist())
    found = both_signs(found) if of_spans else found
    every = _all_named(found, given, stored)
    written, names = every if every else named_classes(found, given)
    if len(names) < 2:
        problem = f"all tags are {names[0]!r}; allowed: 2 tags or more"
        raise TableError(("columns", SPANS if of_spans else TAGS), problem)
    tagged = {
        name: _named(name, part, written, names, of_spans=of_spans) for name, part in rows.items()
    }
    return written, names, tagged


def _all_named(
    found: tuple[str, ...], given: ClassNames | None, stored: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Tags and their names, where all that were found are among those that are named."""
    if isinstance(given, Mapping):
        named = {canonical(value, found): name for value, name in given.items()}
        return (tuple(named), tuple(named.values())) if set(found) <= set(named) else None
    if given is not None and set(found) <= set(given):
        return tuple(given), tuple(given)
    numbered = tuple(given or stored)
    numbers = tuple(map(str, range(len(numbered))))
    is_named = len(set(numbered)) == len(numbered) and set(found) <= set(numbers)
    return (numbers, numbered) if is_named else None


def named_tags(
    rows: Tables, written: Sequence[str], names: Sequence[str]
) -> dict[SplitName, pa.Table]:
    """The rows with the names of their tags, and without their places. Raises TableError."""
    return {
        name: _named(name, part, written, names).drop_columns("place")
        for name, part in rows.items()
    }


def _named(
    split: str,
    rows: pa.Table,
    written: Sequence[str],
    names: Sequence[str],
    *,
    of_spans: bool = False,
) -> pa.Table:
    import pyarrow as pa

    name_of = dict(zip(written, names, strict=True))
    tags = [[canonical(tag, written) for tag in row] for row in rows[TAGS].to_pylist()]
    unknown = {tag: at for at in reversed(range(len(tags))) for tag in tags[at]}
    if wrong := sorted({*unknown} - {*name_of}):
        place = rows["place"][min(map(unknown.__getitem__, wrong))].as_py()
        key = SPANS if of_spans else TAGS
        values = sorted({tag[2:] for tag in wrong}) if of_spans else wrong
        raise TableError(
            ("columns", key),
            f"{split}: {listed_labels(wrong)}, the first in {place}: no tags of the training data; "
            f"allowed: {listed_labels(written)}; or labels: a list that names more, or drop: "
            f"{{{key}: [{', '.join(values)}]}}, which leaves out rows with them",
        )
    found = pa.array([[name_of[tag] for tag in row] for row in tags], pa.list_(pa.string()))
    return rows.set_column(rows.column_names.index(TAGS), TAGS, found)
