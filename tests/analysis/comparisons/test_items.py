"""The items of each run, aligned by id, and errors that name the file where they do not fit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.collect import collect
from analysis.comparisons.items import read_items
from analysis.errors import AnalysisError
from finegrid.records.plan import Plan
from finegrid.records.result import PREDICTIONS_FILE
from tests.analysis.benchmark import run_of

Change = Callable[[pd.DataFrame], pd.DataFrame]


def letters(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["task"] == "letters") & (table["state"] == "ok")]


def change(path: Path, edit: Change) -> None:
    edit(pd.read_parquet(path)).to_parquet(path)


def test_items_are_aligned_by_id(table: pd.DataFrame, finished: Path) -> None:
    items = read_items(letters(table), finished)
    assert list(items.runs) == list(letters(table)["run"])
    runs = [run_of("letters", "small-8", seed) for seed in (0, 1, 2)]
    # the first 172, 174 and 176 of 200 are right; seed 1 lies on disk in reverse
    expected = np.arange(200) < np.array([[172], [174], [176]])
    statistics = items.matrix(runs)
    assert np.array_equal(statistics[..., 0], expected)
    assert np.array_equal(statistics[..., 1], np.ones((3, 200)))
    assert items.why_none(letters(table)["run"]) is None


def without_one(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["id"] != "t7"]


def twice(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, rows[rows["id"] == "t7"]])


def relabelled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(label=rows["label"].mask(rows["id"] == "t7", 9.0))


def wrong(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(prediction=rows["prediction"].mask(rows["id"] == "t7", 9.0))


def without_test(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["split"] != "test"]


def without_column(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns="label")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without_one, "1 stand in one file alone, the first is t7"),
        (twice, "test item t7 is there twice"),
        (relabelled, "the label of test item t7 is not that of the other runs"),
        (wrong, "its test items score 0.705, the record says 0.71"),
        (without_test, "it has no test items"),
        (without_column, "label"),
    ],
)
def test_a_file_that_differs_is_an_error_that_names_it(
    edit: Change, message: str, table: pd.DataFrame, runs: Path
) -> None:
    path = runs / run_of("letters", "top", 1) / PREDICTIONS_FILE
    change(path, edit)
    with pytest.raises(AnalysisError, match=f"^{path}: .*{message}"):
        read_items(letters(table), runs)


def test_a_file_that_is_no_table_is_an_error(table: pd.DataFrame, runs: Path) -> None:
    path = runs / run_of("letters", "top", 1) / PREDICTIONS_FILE
    path.write_bytes(b"nothing")
    with pytest.raises(AnalysisError, match=f"^{path}: "):
        read_items(letters(table), runs)


def test_what_has_no_items_says_why(plan: Plan, runs: Path) -> None:
    run = run_of("letters", "top", 1)
    (runs / run / PREDICTIONS_FILE).unlink()
    rows = letters(collect(plan, runs))
    items = read_items(rows, runs)
    assert set(rows["run"]) - set(items.runs) == {run}
    assert items.why_none(rows["run"]) == f"{run} has no {PREDICTIONS_FILE}"
