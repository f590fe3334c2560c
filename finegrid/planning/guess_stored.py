"""What a table of whole files is likely to be, as the datasets library writes them to parquet."""

from __future__ import annotations

from pathlib import Path

from finegrid.planning.guess import Guess, GuessError, Options, label_of, shares_of
from finegrid.planning.guess_columns import columns_of
from finegrid.planning.guess_folder import kind_of_files, max_length
from finegrid.planning.own_paths import Paths
from finegrid.prepare.examined import Examiner
from kinds.registry import kind_named
from tasks.file_kinds import needs_of
from tasks.file_options import Columns, as_content
from tasks.table_files import PLAIN, read_rows

_LOOKED_AT = 20
"""Rows whose files are looked at for their kind."""


def guess_stored(
    paths: Paths, stored: tuple[str, ...], given: Options, examiner: Examiner
) -> Guess:
    """The guess for a task on files of parquet, of which the columns `stored` hold whole files.

    Raises GuessError, TableError, OSError.
    """
    if len(stored) > 1:
        raise GuessError(f"{', '.join(stored)} hold files; allowed: one such column")
    contents = [one for path in paths["train"] for one in _contents(path, stored[0])]
    kind = kind_of_files(contents[:_LOOKED_AT], given)
    if kind is None:
        raise GuessError(f"{stored[0]} holds files of no kind; allowed: images, audio")
    (column,) = needs_of(kind).files
    reasons = [f"{kind}, for {stored[0]} holds {kind_named(kind).inputs.modality}"]
    label = label_of(columns_of(paths["train"], PLAIN, without=stored), given, reasons)
    shares = shares_of(paths, reasons)
    examined = [examiner.of_content(kind, one) for one in contents]
    length = max_length(kind, examined, reasons)
    columns: Columns = {column: stored[0], "label": label.name}
    return Guess(kind, columns, PLAIN, (), shares, length, tuple(reasons))


def _contents(path: Path, column: str) -> list[bytes]:
    rows = read_rows(path, {"file": column}, "train")
    return [as_content(value) for _, (value,) in rows]
