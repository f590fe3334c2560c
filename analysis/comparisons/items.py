"""Test items: which of them each run has right, from the predictions beside its record."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.errors import AnalysisError
from analysis.frame import present
from analysis.statistics.arrays import Floats
from finegrid.records.prepared import MEANS_OVER_ITEMS
from finegrid.records.result import PREDICTIONS_FILE

ROUNDING = 1e-9
"""Two sums of the same zeros and ones may differ by this share."""
_COLUMNS = ["split", "id", "label", "prediction"]


def read_items(rows: pd.DataFrame, runs: Path) -> dict[str, Floats]:
    """Run -> 1 for each test item that it has right and 0 for each other, shape (items,).

    `rows` are those of one group of the runs table. The items are in the same order for all runs,
    that of the first file. A run that is not ok, whose metric is no mean over items, or that has
    no predictions beside its record is absent. Raises AnalysisError, naming the file, where it is
    damaged, where its items or their labels are not those of the first file, and where its items
    do not give the score of the record.
    """
    ok = rows[(rows["state"] == "ok") & rows["metric"].isin(MEANS_OVER_ITEMS)]
    found: dict[str, Floats] = {}
    labels: pd.Series | None = None
    for run, score in zip(ok["run"], ok["test_score"], strict=True):
        path = runs / run / PREDICTIONS_FILE
        if not path.exists():
            continue
        table = _read(path)
        labels = table["label"] if labels is None else labels
        found[run] = _scores(path, table, labels, score)
    return found


def item_matrix(items: Mapping[str, Floats], runs: Iterable[str]) -> Floats:
    """The scores of the runs, shape (seeds, items)."""
    return np.stack([items[run] for run in runs])


def why_no_items(rows: pd.DataFrame, items: Mapping[str, Floats]) -> str | None:
    """Why there are no scores of items for all of these rows of ok runs; None where there are."""
    for metric in present(rows, "metric").unique():
        if metric not in MEANS_OVER_ITEMS:
            return f"{metric} is no mean over test items"
    absent = [run for run in rows["run"] if run not in items]
    return f"{absent[0]} has no {PREDICTIONS_FILE}" if absent else None


def _read(path: Path) -> pd.DataFrame:
    """Label and prediction of each test item, by its id."""
    try:
        table = pd.read_parquet(path, columns=_COLUMNS)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise AnalysisError(f"{path}: {' '.join(str(error).split())}") from error
    test = table[table["split"] == "test"].set_index("id")
    if test.empty:
        raise AnalysisError(f"{path}: it has no test items")
    if test.index.has_duplicates:
        twice = test.index[test.index.duplicated()][0]
        raise AnalysisError(f"{path}: test item {twice} is there twice")
    return test


def _scores(path: Path, table: pd.DataFrame, labels: pd.Series, score: float) -> Floats:
    odd = labels.index.symmetric_difference(table.index)
    if len(odd):
        raise AnalysisError(
            f"{path}: its test items are not those of the other runs, {len(odd)} stand in one file "
            f"alone, the first is {odd[0]}"
        )
    aligned = table.loc[labels.index]
    relabelled = labels.index[aligned["label"].to_numpy() != labels.to_numpy()]
    if len(relabelled):
        raise AnalysisError(
            f"{path}: the label of test item {relabelled[0]} is not that of the other runs"
        )
    right = (aligned["prediction"] == aligned["label"]).to_numpy().astype(np.float64)
    if abs(right.mean() - score) > ROUNDING:
        raise AnalysisError(
            f"{path}: it has {right.mean()} of the test items right, the record says {score}"
        )
    return right
