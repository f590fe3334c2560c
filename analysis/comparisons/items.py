"""Test items: what each contributes to the score of each run, from the predictions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.errors import AnalysisError
from analysis.metric import metric_of
from analysis.statistics.arrays import Floats
from finegrid.metrics.contract import WeightedMetric
from finegrid.records.result import PREDICTIONS_FILE

ROUNDING = 1e-9
"""The score of a record and that of its items may differ by this share, or by this below 1."""
_SPLIT, _ID = "split", "id"


@dataclass(frozen=True, eq=False)
class Items:
    """What the test items of the runs of a group contribute to their scores."""

    metric: WeightedMetric | None
    """None where no run has a score."""
    runs: Mapping[str, Floats] = field(default_factory=dict)
    """Run -> statistics of its test items, shape (items, k); the items in one order for all."""

    @property
    def judge(self) -> WeightedMetric:
        """The metric of runs that have items. Raises ValueError without one."""
        if self.metric is None:
            raise ValueError("no run has a score")
        return self.metric

    def matrix(self, runs: Iterable[str]) -> Floats:
        """The statistics of these runs, shape (seeds, items, k)."""
        return np.stack([self.runs[run] for run in runs])

    def why_none(self, runs: Iterable[str]) -> str | None:
        """Why there are no statistics of items for all of these ok runs; None where there are."""
        absent = [run for run in runs if run not in self.runs]
        return f"{absent[0]} has no {PREDICTIONS_FILE}" if absent else None


def read_items(rows: pd.DataFrame, runs: Path) -> Items:
    """The statistics of the test items of every run that has predictions beside its record.

    `rows` are those of one group of the runs table. The items are in the order of the first file.
    A run that is not ok or has no predictions is absent. Raises AnalysisError, naming the file,
    where it is damaged, where its items or what is true of them are not those of the first file,
    and where its items do not give the score of the record; and as `metric_of` does.
    """
    ok = rows[rows["state"] == "ok"].dropna(subset="test_score")
    metric = metric_of(ok)
    files = {str(run): runs / run / PREDICTIONS_FILE for run in ok["run"]}
    files = {run: path for run, path in files.items() if path.exists()}
    if metric is None or not files:
        return Items(metric)
    tables: list[pa.Table] = []
    for path in files.values():
        table = _read(path, metric)
        tables.append(_aligned(path, table, tables[0] if tables else table, metric))
    found = dict(zip(files, _statistics(list(files.values()), tables, metric), strict=True))
    scores = ok.set_index("run")["test_score"]
    for run, statistics in found.items():
        _check_score(files[run], float(metric.score(statistics)), float(scores[run]))
    return Items(metric, found)


def _read(path: Path, metric: WeightedMetric) -> pa.Table:
    """The columns that the metric reads of each test item, and its id."""
    try:
        table = pq.read_table(path, columns=[_SPLIT, _ID, *metric.columns])
        lacking = {_SPLIT, _ID, *metric.columns} - set(table.column_names)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise AnalysisError(f"{path}: {' '.join(str(error).split())}") from error
    if lacking:
        raise AnalysisError(f"{path}: it lacks the columns {', '.join(sorted(lacking))}")
    test = table.filter(pc.equal(table[_SPLIT], "test"))
    if not len(test):
        raise AnalysisError(f"{path}: it has no test items")
    ids = pd.Index(test[_ID].to_pylist())
    if ids.has_duplicates:
        raise AnalysisError(f"{path}: test item {ids[ids.duplicated()][0]} is there twice")
    return test


def _aligned(path: Path, table: pa.Table, first: pa.Table, metric: WeightedMetric) -> pa.Table:
    """The rows in the order of the first table, of the same items with the same truth."""
    order, ids = pd.Index(first[_ID].to_pylist()), pd.Index(table[_ID].to_pylist())
    odd = order.symmetric_difference(ids)
    if len(odd):
        raise AnalysisError(
            f"{path}: its test items are not those of the other runs, {len(odd)} stand in one file "
            f"alone, the first is {odd[0]}"
        )
    aligned = table.take(ids.get_indexer(order))
    true = metric.columns[0]
    pairs = zip(aligned[true].to_pylist(), first[true].to_pylist(), order, strict=True)
    changed = next((item for own, others, item in pairs if own != others), None)
    if changed is not None:
        raise AnalysisError(
            f"{path}: the {true} of test item {changed} is not that of the other runs"
        )
    return aligned


def _statistics(
    files: list[Path], tables: list[pa.Table], metric: WeightedMetric
) -> Iterable[Floats]:
    """The statistics of each table, computed together: k depends on the classes that occur."""
    try:
        whole = metric.statistics(pa.concat_tables(tables, promote_options="permissive"))
    except ValueError as error:
        raise AnalysisError(f"{files[0]} and the other runs: {error}") from error
    return np.split(whole, len(tables))


def _check_score(path: Path, found: float, recorded: float) -> None:
    if not abs(found - recorded) <= ROUNDING * max(1.0, abs(recorded)):
        raise AnalysisError(f"{path}: its test items score {found}, the record says {recorded}")
