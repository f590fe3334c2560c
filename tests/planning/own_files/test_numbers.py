"""Tables of numbers: rows of several columns, with a class or a number each."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Task
from tests.planning.own_files.tables import SPLIT, Problems, written

VALUES = [[n, n / 3, -n] for n in range(20)]
HEADER = ["a", "b", "c", "y"]


def benchmark(layers: list[int], **task: Any) -> dict[str, Any]:
    """A plain stack on a table of numbers."""
    entry = {"kind": "tabular-regression", "files": "a.csv", "split": SPLIT} | task
    return {
        "name": "numbers",
        "seeds": [0],
        "interval": False,
        "tasks": {"own": {"columns": {"features": ["a", "b", "c"], "label": "y"}} | entry},
        "models": {"stack": {"kind": "network", "layers": layers}},
        "training": {"epochs": 1, "batch_size": 4, "learning_rate": 0.1},
        "grids": [
            {"tasks": ["own"], "models": ["stack"], "variants": {"full": {"method": "full"}}}
        ],
    }


def table(labels: list[Any]) -> str:
    rows = [[*map(str, values), str(label)] for values, label in zip(VALUES, labels, strict=True)]
    return written("a.csv", [HEADER, *rows])


def planned(content: dict[str, Any]) -> Task:
    return next(iter(make_plan(parse_benchmark(content)).runs.values())).task


def prepared(folder: Path, task: Task) -> pd.DataFrame:
    manifest = prepare_task(task, folder / "prepared")
    parts = [pd.read_parquet(folder / "prepared" / f"{name}.parquet") for name in manifest.splits]
    return pd.concat(parts)


def test_columns_of_numbers_are_a_row(folder: Path) -> None:
    table([n * 0.5 for n in range(20)])
    frame = prepared(folder, planned(benchmark([3, 4, 1])))
    by_label: dict[float, Any] = dict(zip(frame["label"], frame["features"], strict=True))
    assert sorted(by_label) == [n * 0.5 for n in range(20)]
    for n in range(20):
        np.testing.assert_array_equal(by_label[n * 0.5], np.array(VALUES[n], dtype=np.float32))


def test_rows_of_numbers_may_have_classes(folder: Path) -> None:
    table(["yes" if n % 2 else "no" for n in range(20)])
    frame = prepared(folder, planned(benchmark([3, 4, 2], kind="tabular-classification")))
    assert {int(row[0]) % 2 for row in frame["features"][frame["label"] == 0]} == {0}


@pytest.mark.parametrize(
    ("layers", "labels", "task", "message"),
    [
        (
            [4, 1],
            range(20),
            {},
            "grids[0]: model 'stack': layers start with 4, task 'own' has inpu",
        ),
        (
            [3, 1],
            range(20),
            {"columns": {"features": ["a", "y2"], "label": "y"}},
            "tasks.own.columns.features[1]: a.csv has no column 'y2'; allowed: 'a', 'b', 'c', 'y'",
        ),
        (
            [3, 1],
            range(20),
            {"columns": {"features": ["a", "word"], "label": "y"}},
            "tasks.own.columns.features[1]: a.csv, column 'word': blank or wrong in line 2",
        ),
        ([3, 1], range(20), {"columns": {"label": "y"}}, "tasks.own.columns.features: this key is"),
    ],
)
def test_what_is_wrong_with_a_table_of_numbers_is_one_line(
    problems: Problems, layers: list[int], labels: range, task: dict[str, Any], message: str
) -> None:
    rows = [[*map(str, values), str(label)] for values, label in zip(VALUES, labels, strict=True)]
    written("a.csv", [[*HEADER, "word"], *([*row, "x"] for row in rows)])
    (line,) = problems(benchmark(layers, **task))
    assert line.startswith(message.replace("allowed: 'a', 'b', 'c', 'y'", "allowed: ")), line


def test_a_squared_error_has_no_targets_to_smooth(problems: Problems) -> None:
    """Neither in a run nor in a pretraining; classes of the same rows have."""
    table([n % 2 for n in range(20)])
    said = "0.1 is not allowed; task 'own' of kind tabular-regression is learnt by no cross-entropy"
    content = benchmark([3, 4, 1])
    content["grids"][0]["training"] = {"label_smoothing": 0.1}
    (line,) = problems(content)
    key = "grids[0].variants.full.training.label_smoothing"
    assert line == f"{key}: {said}; allowed: 0"
    content = benchmark([3, 4, 1])
    training = content["training"] | {"label_smoothing": 0.1}
    content["models"]["stack"]["pretraining"] = {"task": "own", "training": training}
    (line,) = problems(content)
    assert line == f"models.stack.pretraining.training.label_smoothing: {said}; allowed: 0"
    content = benchmark([3, 4, 2], kind="tabular-classification")
    content["training"]["label_smoothing"] = 0.1
    (run,) = make_plan(parse_benchmark(content)).runs.values()
    assert run.training.label_smoothing == 0.1
    for value in (1, -0.1, "some"):
        content["training"]["label_smoothing"] = value
        (line,) = problems(content)
        assert line.startswith("training.label_smoothing: "), line
