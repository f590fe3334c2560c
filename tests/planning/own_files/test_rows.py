"""Rows of the user's own files, a block at a time."""

import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from finegrid.records.prepared import SplitName
from tasks import file_rows
from tasks.file_options import Columns, Dropped, HeldOut
from tasks.file_rows import Reading
from tasks.table_files import TableError
from tests.planning.own_files.tables import written

COLUMNS: Columns = {"text": "review", "label": "stars"}
LINES = [["review", "stars", "user"], *([f"t{n}", str(n % 3), f"u{n % 5}"] for n in range(31))]
FILES: dict[SplitName, list[Path]] = {"train": [Path("a.csv"), Path("b.csv")]}


def loaded(reading: Reading) -> dict[str, list[dict[str, str]]]:
    written("a.csv", LINES)
    written("b.csv", [LINES[0], *LINES[5:12]])
    return {name: rows.to_pylist() for name, rows in reading.load(FILES).items()}


@pytest.mark.parametrize("group", [None, "user"])
@pytest.mark.parametrize("block", [1, 4])
def test_blocks_change_no_row(
    group: str | None, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = HeldOut(validation=0.2, test=0.3, group=group)
    drop: Dropped = {"label": ("2",)}
    whole = loaded(Reading(COLUMNS, "classes", split, drop=drop))
    assert sum(map(len, whole.values())) == 21 + 5
    ends = {row["id"]: row["place"] for rows in whole.values() for row in rows}
    assert ends["train-31"] == "a.csv, line 32"
    assert ends["train-34"] == "b.csv, line 4"
    monkeypatch.setattr(file_rows, "_BLOCK", block)
    assert loaded(Reading(COLUMNS, "classes", split, drop=drop)) == whole


@pytest.mark.parametrize("block", [1, 1000])
def test_the_column_of_the_first_bad_row_is_named(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_rows, "_BLOCK", block)
    rows = [["review", "stars"], ["one", "1"], ["two", ""], [" ", "1"], ["four", " "]]
    files: dict[SplitName, list[Path]] = {"train": [Path(written("a.csv", rows))]}
    with pytest.raises(TableError, match=r"'stars': blank or wrong in line 3, line 5 \(2 in all"):
        Reading(COLUMNS, "classes").load(files)


BYTES_A_ROW = 200
"""What is held of a row with a text of 55 bytes."""


def test_memory_is_that_of_the_texts(tmp_path: Path) -> None:
    peaks = []
    for rows in (3_000, 13_000):
        texts = [[f"{n} " + 10 * "word ", str(n % 2)] for n in range(rows)]
        files: dict[SplitName, list[Path]] = {
            "train": [Path(written("a.csv", [["review", "stars"], *texts]))]
        }
        reading = Reading(COLUMNS, "classes", HeldOut(validation=0.1, test=0.1))
        del texts
        tracemalloc.start()
        found = reading.load(files)
        held = pa.total_allocated_bytes()
        peaks.append(tracemalloc.get_traced_memory()[1] + held)
        tracemalloc.stop()
        del found
    assert peaks[1] - peaks[0] < BYTES_A_ROW * 10_000
