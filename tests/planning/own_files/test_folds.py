"""Tables with a column that says which split, or which fold, a row is in."""

from pathlib import Path
from typing import Any

import pytest

from finegrid.records.prepared import SplitName
from tasks.file_options import Columns, HeldOut
from tasks.file_rows import Reading
from tasks.table_files import TableError
from tests.planning.own_files.tables import written

COLUMNS: Columns = {"text": "text", "label": "label"}
ROWS = [[f"t{at}", str(at % 2), f" {at % 5 + 1}", f"u{at % 10}"] for at in range(20)]


def loaded(**split: Any) -> dict[str, list[str]]:
    """The texts of each split."""
    path = Path(written("a.csv", [["text", "label", "fold", "user"], *ROWS]))
    files: dict[SplitName, list[Path]] = {"train": [path]}
    rows = Reading(COLUMNS, "classes", HeldOut.model_validate(split)).load(files)
    assert all(part.column_names == ["id", "place", "text", "label"] for part in rows.values())
    return {name: part["text"].to_pylist() for name, part in rows.items()}


def test_the_values_of_a_column_are_splits() -> None:
    found = loaded(column="fold", values={"validation": 4, "test": [5]}, group="user")
    assert found["validation"] == ["t3", "t8", "t13", "t18"]
    assert found["test"] == ["t4", "t9", "t14", "t19"]
    assert found["train"] == [f"t{at}" for at in range(20) if at % 5 < 3]


def test_a_share_is_held_out_of_what_values_leave() -> None:
    values = {"train": [1, 2], "test": [5]}
    found = loaded(column="fold", values=values, validation=0.25)
    assert {name: len(texts) for name, texts in found.items()} == {
        "train": 6,
        "validation": 2,
        "test": 4,
    }
    rest = {int(text[1:]) % 5 + 1 for text in found["train"] + found["validation"]}
    assert rest == {1, 2}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such value": (
        {"values": {"validation": [4], "test": [6]}},
        "split.values.test: no row of column 'fold' has '6'; allowed: '1', '2', '3', '4', '5'",
    ),
    "no rest": (
        {"values": {"validation": [1, 2, 3], "test": [4, 5]}},
        "split.values: they leave nothing to train on",
    ),
    "a group in two": (
        {"column": "user", "values": {"validation": "u1", "test": "u2"}, "group": "label"},
        "split.group: '0' is in test and in train (and 1 more); allowed: each group in one split",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_values_that_divide_nothing_are_refused(name: str) -> None:
    split, message = WRONG[name]
    with pytest.raises(TableError) as caught:
        loaded(**{"column": "fold"} | split)
    assert str(caught.value) == message
