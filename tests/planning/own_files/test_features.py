"""Columns of numbers and categories: how they are written, scaled, filled in, and made numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from finegrid.planning.own_files import Found, of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from tasks.registry import TASKS
from tasks.table_files import TableError
from tests.planning.own_files.tables import written

HEADER = ["age", "fare", "sex", "deck", "y"]
FARES = [round(n * 1234.567, 2) if n % 5 else "" for n in range(24)]
DECKS = ["ABC"[n % 3] if n % 4 else "" for n in range(24)]
ROWS: list[list[Any]] = [[20 + n, FARES[n], "mf"[n % 2], DECKS[n], n % 2] for n in range(24)]
"""Of 24 people a number, one that is missing for some, a category, and one that is missing too."""
COLUMNS = {"features": HEADER[:-1], "label": "y"}
FEATURES: Any = {"scale": "standard", "missing": "mean", "categories": ["sex", "deck"]}
SPLITS = ("train", "validation", "test")
BOUNDS = {"train": (0, 16), "validation": (16, 20), "test": (20, 24)}


def files(rows: list[list[Any]], **how: Any) -> dict[str, str]:
    """A file a split."""
    return {
        name: written(f"{name}.csv", [HEADER, *rows[start:end]], **how)
        for name, (start, end) in BOUNDS.items()
    }


def surveyed(rows: list[list[Any]], how: dict[str, Any] | None = None, **said: Any) -> Found:
    entry = {
        "kind": "tabular-classification",
        "columns": COLUMNS,
        "files": files(rows, **(how or {})),
    }
    checked = TaskEntry.model_validate_json(json.dumps(entry | said))
    return of_files(checked, Examiner())


def values(found: Found) -> dict[str, tuple[np.ndarray[Any, Any], list[Any]]]:
    """The numbers and the labels of each split."""
    assert found.entry.task is not None
    task = TASKS.build(found.entry.task, found.entry.options)
    tables: Any = task.read(Path.cwd())
    for part in tables.values():
        assert {len(row) for row in part["features"].to_pylist()} == {task.input_size}
    return {
        name: (np.array(part["features"].to_pylist()), part["label"].to_pylist())
        for name, part in tables.items()
    }


def test_numbers_and_categories_are_those_of_scikit_learn(folder: Path) -> None:
    """Its own scaler, imputer and one-hot encoder, fitted to the training rows alone."""
    found = values(surveyed(ROWS, features=FEATURES))
    table = np.array([[np.nan if one == "" else one for one in row[:2]] for row in ROWS], float)
    words = np.array([row[2:4] for row in ROWS], dtype=object)
    train = slice(*BOUNDS["train"])
    numbers = make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)).fit(table[train])
    encoder = ColumnTransformer(
        [("hot", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [0, 1])]
    ).fit(words[train])
    for name, bounds in BOUNDS.items():
        age, fare, missing = numbers.transform(table[slice(*bounds)]).T
        hot = encoder.transform(words[slice(*bounds)])
        expected = np.column_stack([age, fare, missing, hot])
        np.testing.assert_allclose(
            found[name][0], expected.astype(np.float32), rtol=1e-6, atol=1e-7
        )
        assert found[name][1] == [row[-1] for row in ROWS[slice(*bounds)]]


WRITTEN: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "decimal commas": (
        {"decimal": ","},
        lambda x: f"{x:.2f}".replace(".", ","),
        {"delimiter": ";"},
    ),
    "thousands with points": (
        {"decimal": ",", "thousands": "."},
        lambda x: f"{x:,.2f}".translate(str.maketrans(",.", ".,")),
        {"delimiter": ";"},
    ),
    "thousands with commas, in quotes": ({"thousands": ","}, lambda x: f"{x:,.2f}", {}),
    "thousands with spaces": ({"thousands": " "}, lambda x: f"{x:,.2f}".replace(",", " "), {}),
    "as Python writes them": ({}, repr, {}),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_are_read_as_they_are_written(folder: Path, name: str) -> None:
    """Missing ones are question marks."""
    said, write, how = WRITTEN[name]
    rows = [[row[0], write(row[1]) if row[1] != "" else "?", *row[2:]] for row in ROWS]
    found = values(surveyed(rows, how, format=said | {"missing": ["?"]}, features=FEATURES))
    plain = values(surveyed(ROWS, features=FEATURES))
    for split in SPLITS:
        np.testing.assert_array_equal(found[split][0], plain[split][0])


def test_labels_of_a_regression_are_scaled_where_it_is_said(folder: Path) -> None:
    rows = [[*row[:-1], f"{100000 + 1000 * n:,}"] for n, row in enumerate(ROWS)]
    kind: dict[str, Any] = {"kind": "tabular-regression", "format": {"thousands": ","}}
    found = surveyed(rows, **kind, features=FEATURES | {"scale_label": True})
    plain = values(surveyed(rows, **kind, features=FEATURES))
    train = np.array(plain["train"][1])
    assert list(train) == [100000 + 1000 * n for n in range(16)]
    expected = (np.array(plain["test"][1]) - train.mean()) / train.std()
    np.testing.assert_allclose(values(found)["test"][1], expected, rtol=1e-12)


def test_a_constant_and_a_category_that_training_lacks_are_told(folder: Path) -> None:
    rows = [[30, *row[1:]] for row in ROWS]
    rows[-1][2] = "x"
    found = surveyed(rows, features=FEATURES)
    assert found.remarks == (
        "test: 1 rows have a 'sex' which no training row has: all of its numbers are 0",
    )
    numbers = values(found)["test"][0]
    assert not numbers[:, 0].any()
    assert not numbers[-1, 3:5].any()


def test_numbers_that_are_not_said_to_change_stay_as_they_are(folder: Path) -> None:
    columns = {"features": ["age"], "label": "y"}
    plain = surveyed(ROWS, columns=columns)
    assert "features" not in plain.entry.options
    assert values(plain)["train"][0][:, 0].tolist() == [20.0 + n for n in range(16)]
    kept = surveyed(ROWS, columns=columns, features={})
    assert values(kept)["train"][0][:, 0].tolist() == [20.0 + n for n in range(16)]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing numbers": (
        {"features": {"categories": ["sex", "deck"]}},
        "columns.features[1]: train.csv, column 'fare': blank or wrong in line 2, line 7, line 12, "
        "line 17 (4 in all); allowed: numbers, with a point; or format.decimal and "
        "format.thousands that say how they are written; or features.missing: mean, which fills "
        "blanks, with format.missing for what stands for one; or features.categories of words",
    ),
    "words": (
        {"features": {"missing": "mean"}},
        "columns.features[2]: train.csv, column 'sex': blank or wrong in line 2, line 3",
    ),
    "a category that is none": (
        {"features": FEATURES | {"categories": ["sex", "y"]}},
        "features.categories: 'y' is none of columns.features; allowed: 'age', 'fare', 'sex', ",
    ),
    "a class that is scaled": (
        {"features": FEATURES | {"scale_label": True}},
        "features.scale_label: allowed: false, for the label is a class",
    ),
    "another kind": (
        {"kind": "text-classification", "columns": {"text": "sex", "label": "y"}, "features": {}},
        "features: kind 'text-classification' reads no rows of numbers; allowed: no such key",
    ),
    "decimals of texts": (
        {
            "kind": "text-classification",
            "columns": {"text": "sex", "label": "y"},
            "format": {"decimal": ","},
        },
        "format.decimal: kind 'text-classification' reads no numbers; allowed: no such key",
    ),
    "what is missing of nothing": (
        {"columns": {"features": ["age"], "label": "y"}, "format": {"missing": ["?"]}},
        "format.missing: allowed: beside features, which says of them",
    ),
    "points among decimal commas": (
        {"features": FEATURES, "format": {"decimal": ","}},
        "columns.features[1]: train.csv, column 'fare': blank or wrong in line 3",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_one_sentence(folder: Path, name: str) -> None:
    said, words = BAD[name]
    with pytest.raises(TableError) as error:
        surveyed(ROWS, **said)
    assert words in str(error.value)


@pytest.mark.parametrize("how", [{"decimal": ","}, {"parallel": True}], ids=str)
def test_whole_files_have_no_such_format(folder: Path, how: dict[str, Any]) -> None:
    written("photos/cat/1.png", b"")
    said = {"kind": "image-classification", "files": "photos/", "format": how}
    with pytest.raises(TableError) as error:
        of_files(TaskEntry.model_validate_json(json.dumps(said)), Examiner())
    assert f"format.{next(iter(how))}: the files are whole examples; allowed: for texts" in str(
        error.value
    )
