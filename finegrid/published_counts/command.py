"""`finegrid verify`: the tables of all rows, the same rows as JSON, and the exit code."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import get_args

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from finegrid.published_counts.figures import Verdict
from finegrid.published_counts.golden import Golden, GoldenError, read_golden
from finegrid.published_counts.rows import Report, Row, verify

_VERDICTS = get_args(Verdict)


def run(golden: Path, json_file: Path | None, console: Console) -> int:
    """Verify a file, show what was found, and write it where asked.

    Returns 0 where every row that could be built has the count that the file expects or explains,
    1 where one has not, 65 for a file that is none of published counts, 74 where reading or writing
    fails.
    """
    try:
        rows = _verify_quietly(read_golden(golden))
        if json_file:
            Report(rows=rows).write(json_file)
    except GoldenError as error:
        return _fail(os.EX_DATAERR, error)
    except OSError as error:
        return _fail(os.EX_IOERR, error)
    show(rows, console)
    return int(any(row.deviates for row in rows))


def _verify_quietly(golden: Golden) -> tuple[Row, ...]:
    """Without the warnings and progress bars of the libraries; what fails is in the rows."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        return verify(golden)


def _fail(code: int, error: Exception) -> int:
    sys.stderr.write(f"verify: {' '.join(str(error).split())}\n")
    return code


def show(rows: Sequence[Row], console: Console) -> None:
    """Print what needs attention first, then what agrees, then how much of each there is."""
    wrong, absent, fine = (
        [row for row in rows if row.verdict in verdicts]
        for verdicts in (("mismatch",), ("not built",), ("match", "truncated"))
    )
    if wrong:
        console.print(_counts("mismatch", wrong))
    if absent:
        console.print(_reasons("not built", absent))
    if fine:
        console.print(_counts("match", fine))
    console.print(summary(rows), highlight=False)


def summary(rows: Sequence[Row]) -> str:
    """How many rows have each verdict, and whether any count is not the expected one."""
    found = Counter(row.verdict for row in rows)
    counts = ", ".join(f"{found[verdict]} {verdict}" for verdict in _VERDICTS if found[verdict])
    deviating = sum(row.deviates for row in rows)
    explained = sum(row.explained for row in rows)
    known = f" beyond {explained} that the file explains" if explained else ""
    return f"{len(rows)} rows: {counts or 'none'}; {deviating or 'no'} built counts deviate{known}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _counts(title: str, rows: Sequence[Row]) -> Table:
    table = _table(title)
    table.add_column("row", overflow="fold", max_width=14)
    table.add_column("what is counted", overflow="fold", ratio=1)
    for header in ("closed form", "meta", "published"):
        table.add_column(header, justify="right", overflow="fold", max_width=14)
    for row in rows:
        counts = (f"{n:,}" if n is not None else "" for n in (row.closed_form, row.meta_count))
        table.add_row(Text(row.id), _what(row), *counts, Text(row.published or ""))
    return table


def _reasons(title: str, rows: Sequence[Row]) -> Table:
    """The rows of each reason, all of them named."""
    table = _table(title)
    table.add_column("why", overflow="fold", ratio=1)
    table.add_column("rows", overflow="fold", ratio=1)
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row.reason or "", []).append(row.id)
    for reason, ids in reasons.items():
        table.add_row(Text(reason), Text(" ".join(ids)))
    return table


def _what(row: Row) -> Text:
    """What is counted; below it what there is to say, and how the count splits."""
    text = Text(row.what)
    for line in _remarks(row):
        text.append(f"\n{line}", style="dim" if row.verdict == "match" else "")
    return text


def _remarks(row: Row) -> Iterator[str]:
    if row.reason:
        yield f"truncated: {row.reason}" if row.verdict == "truncated" else row.reason
    if len(row.split) > 1:
        yield ", ".join(f"{name} {count:,}" for name, count in row.split.items())
    if row.stored not in (None, row.meta_count):
        yield f"stored: {row.stored:,}"
