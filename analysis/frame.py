"""The runs table, one row a planned run, the trials table, and their one way of being read."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import AnalysisError
from finegrid.records.specification import LEARNING_RATE
from finegrid.records.write import write_text

IDENTITY = ("benchmark", "task", "model", "variant", "method", "run")
TEXT = (
    *IDENTITY,
    "state",
    "reason",
    "metric",
    "edge",
    "tuning_edge",
    "tuning_rule",
    "tuning_training",
)
COSTS_OF = "costs_of"
"""The run that measured memory and latency, where it is another one of the cell."""
KEPT_HEAD = "base_head_kept"
"""Whether the run started from its checkpoint's own head."""
DRAWN = "base_drawn_modules"
STRIPPED = "base_stripped"
DEQUANTISED = "base_dequantised"
"""What the base's weights were de-quantised from."""
TASK_REMARKS = "task_remarks"
"""What a reader of the scores has to know of the task."""
COUNTED = "counted"
"""What a reader has to know of examples and of the test predictions."""
SELECTED = "selected_by"
"""The metric that decides on validation, where it is not the one of the table."""
TEXT_BASE = (DRAWN, STRIPPED, DEQUANTISED, TASK_REMARKS, COSTS_OF, COUNTED, SELECTED)
TEXT_PROVENANCE = (
    "fingerprint",
    "cost_fingerprint",
    "system",
    "git_commit",
    "source_digest",
    "started_at",
    "mirror_warning",
)
FLAGS = ("chosen", "grown", KEPT_HEAD)
COMPARABLE, LIBRARY, CONDITION = "comparable_", "library_", "condition_"
"""What stands before a condition of scores, a library of the method or the task, one of costs."""
SETTING = "setting_"
TUNED = "value_"
"""What stands before a tuned key in the columns of the trials table."""
TUNED_RATE = TUNED + LEARNING_RATE
TRIALS = (*IDENTITY, "seed", "state", "reason", "metric", "score", "n", "chosen", "edge", "grown")
"""The columns of the trials table before those of the tuned values."""

PAIRS = ("task", "model", "fingerprint", "first", "second", "bootstrap_low", "bootstrap_high")
"""What the main table takes of the table of pairs."""
STATES = ("ok", "oom", "diverged", "undefined", "failed", "missing", "not-applicable")
SIGNS = {
    "ok": "every seed ended with a score",
    "oom": "the run ran out of memory",
    "diverged": "the training loss, a gradient or a prediction became infinite or not a number",
    "undefined": "training was finite, and the metric has no value on the predictions, as a "
    "correlation of equal predictions has none; the run is in no mean",
    "failed": "the run ended with an error",
    "missing": "the run is planned and has no result",
    "not applicable": "the method does not fit the model",
}


def tidy(rows: Sequence[dict[str, Any]], columns: list[str] | None = None) -> pd.DataFrame:
    """Rows of plain values as a typed table, the same as after writing and reading it.

    `columns` gives a table that may have no row its header.
    """
    # dtype=object keeps an integer column with gaps from turning into floats
    return _parse(pd.DataFrame(rows, columns=columns, dtype=object).to_csv(index=False))


def read_runs(path: Path) -> pd.DataFrame:
    """The runs table of a CSV file. Raises AnalysisError where it is no such table, or OSError."""
    return _read(path, "runs table", (*IDENTITY, "state", "fingerprint"))


def read_trials(path: Path) -> pd.DataFrame:
    """The trials table of a CSV file. Raises as `read_runs` does."""
    return _read(path, "trials table", (*TRIALS, TUNED_RATE))


def read_pairs(path: Path) -> pd.DataFrame:
    """The table of pairs of a CSV file. Raises as `read_runs` does."""
    return _read(path, "table of pairs", PAIRS)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table atomically as CSV; missing values are empty."""
    write_text(path, frame.to_csv(index=False))


def present(frame: pd.DataFrame, column: str) -> pd.Series:
    """The values of a column that are not missing; none where the table lacks the column."""
    return frame[column].dropna() if column in frame else pd.Series(dtype="float64")


def _read(path: Path, kind: str, needed: Sequence[str]) -> pd.DataFrame:
    try:
        frame = _parse(path.read_text(encoding="utf-8"))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise AnalysisError(f"{path}: not a table: {error}") from error
    absent = [name for name in needed if name not in frame]
    if absent:
        raise AnalysisError(f"{path}: not a {kind}, it lacks the columns {', '.join(absent)}")
    return frame


def _parse(text: str) -> pd.DataFrame:
    header = pd.read_csv(io.StringIO(text), nrows=0).columns
    # without a type, a fingerprint such as 1234e567 or a version such as 2.10 reads as a number
    types = {
        name: "string"
        for name in header
        if name in TEXT + TEXT_PROVENANCE + TEXT_BASE
        or name.startswith((COMPARABLE, LIBRARY, CONDITION))
    } | {name: "boolean" for name in header if name in FLAGS}
    return pd.read_csv(
        io.StringIO(text),
        dtype=types,
        keep_default_na=False,
        na_values=[""],
        float_precision="round_trip",
        dtype_backend="numpy_nullable",
    )
