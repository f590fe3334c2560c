"""`finegrid verify --board`: every row predicted beside published, the same as JSON."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
from rich.console import Console

from finegrid.published_memory.board import Board, BoardError, BoardRow
from finegrid.published_memory.models import configuration
from finegrid.records.base import Record

Predict = Callable[[Board, BoardRow], int]
_MIB = 2**20


class Row(Record):
    """What is predicted of a row; a row without a prediction has a reason."""

    id: str
    predicted_peak_bytes: int | None
    published_peak_bytes: int
    reason: str | None = None

    @property
    def error(self) -> float | None:
        """The distance from the published peak, as a share of it."""
        if self.predicted_peak_bytes is None:
            return None
        return self.predicted_peak_bytes / self.published_peak_bytes - 1


class Report(Record):
    """All rows, in the order of the file."""

    rows: tuple[Row, ...]


def run(file: Path, json_file: Path | None, console: Console) -> int:
    """Predict a board's rows, show each as soon as it is known, and write them where asked.

    Returns 0, however near the predictions are; 65 for a file that is no board, or one of a model
    that is not known; 74 where reading or writing fails.
    """
    try:
        board = Board.read(file)
        configuration(board.model)
        rows = tuple(_shown(predictions(board), console))
        console.print(summary(rows), highlight=False)
        if json_file:
            Report(rows=rows).write(json_file)
    except BoardError as error:
        return _fail(os.EX_DATAERR, error)
    except OSError as error:
        return _fail(os.EX_IOERR, error)
    return 0


def _fail(code: int, error: Exception) -> int:
    sys.stderr.write(f"verify: {' '.join(str(error).split())}\n")
    return code


def predictions(board: Board, predict: Predict | None = None) -> Iterable[Row]:
    """The rows, one after the other."""
    from finegrid.published_memory.trace import peak_reserved

    for row in board.rows:
        yield _predicted(board, row, predict or peak_reserved)


def _predicted(board: Board, row: BoardRow, predict: Predict) -> Row:
    """A row's prediction, or the first line of the error that it ends with.

    Whatever a library raises on tensors without numbers is a reason, not the command's end.
    """
    peak, reason = None, None
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            peak = predict(board, row)
        except Exception as error:
            reason = f"not predictable: {type(error).__name__}: {error}".splitlines()[0]
    return Row(
        id=row.experiment,
        predicted_peak_bytes=peak,
        published_peak_bytes=row.peak_reserved_bytes,
        reason=reason,
    )


def _shown(rows: Iterable[Row], console: Console) -> Iterable[Row]:
    """The rows, each printed when it is known."""
    console.print(f"{'predicted':>11} {'published':>11} {'':>7}  MiB")
    for row in rows:
        console.print(_line(row), highlight=False, markup=False, soft_wrap=True)
        yield row


def _line(row: Row) -> str:
    published = f"{row.published_peak_bytes / _MIB:11,.0f}"
    if row.predicted_peak_bytes is None or row.error is None:
        return f"{'':11} {published} {'':>7}  {row.id}: {row.reason}"
    return f"{row.predicted_peak_bytes / _MIB:11,.0f} {published} {row.error:+7.1%}  {row.id}"


def summary(rows: Sequence[Row]) -> str:
    """How many rows are predicted, and how far off: the median and the ninetieth percentile."""
    errors = [abs(row.error) for row in rows if row.error is not None]
    text = f"{len(errors)} of {len(rows)} rows predicted"
    if errors:
        median, high = np.percentile(errors, (50, 90))
        text += f"; error: median {median:.1%}, 90th percentile {high:.1%}"
    return text
