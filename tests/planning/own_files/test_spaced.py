"""Tables whose values spaces divide, as older data of UCI have them."""

import json
from pathlib import Path
from typing import Any

import pytest

from finegrid.planning.guess_format import guess_format
from finegrid.planning.own_files import of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from tasks.table_files import Format, TableError
from tests.planning.own_files.tables import written
from tests.planning.own_files.test_guess_numbers import (
    CLASSES,
    COUNT,
    NUMBERS,
    guessed,
    one_of,
    real,
    table,
)

LAYOUTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "auto-mpg, UCI, with a tab before the name": (
        "auto-mpg.data",
        table(
            None,
            lambda n: f"{real(40, 1)(n)}   {4 + 2 * (n % 3)}   {real(400, 1)(n)}      ",
            lambda n: f"{one_of(70, 76, 82)(n)}  {1 + n % 3}\t",
            lambda n: f'"ford maker {n}"',
            between="",
        ),
        {
            "kind": NUMBERS,
            "columns": {"features": (1, 2, 3, 4), "label": 0},
            "features": {"scale": "standard", "scale_label": True},
            "given": {"label": "0"},
        },
    ),
    "housing, UCI, with spaces at the ends": (
        "housing.data",
        table(
            None,
            lambda n: f" {real(9, 5)(n)}  {real(18)(n)}   {n % 2}  {real(50)(n)}  ",
            between="",
        ),
        {
            "kind": NUMBERS,
            "columns": {"features": (0, 1, 2), "label": 3},
            "features": {"scale": "standard", "scale_label": True},
            "given": {"label": "3"},
        },
    ),
    "seeds, UCI, with one tab or two": (
        "seeds_dataset.txt",
        table(
            None,
            lambda n: f"{real(15)(n)}\t{real(14)(n)}\t" + "\t" * (n % 2) + f"{1 + n % 3}",
            between="",
        ),
        {
            "kind": CLASSES,
            "columns": {"features": (0, 1), "label": 2},
            "features": {"scale": "standard"},
        },
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_values_between_spaces_are_guessed_and_read(folder: Path, name: str) -> None:
    file, content, expected = LAYOUTS[name]
    found = guessed(file, content, **expected.get("given", {}))
    assert (found.kind, found.columns) == (expected["kind"], expected["columns"])
    how = found.how.model_dump(exclude_defaults=True)
    assert how == {"header": False, "delimiter": " "}
    assert found.asked == {"features": expected["features"]}
    entry = {"kind": found.kind, "files": file, "columns": found.columns, "format": how}
    said = entry | found.asked | {"split": {"validation": 0.2, "test": 0.2}}
    counts = of_files(TaskEntry.model_validate_json(json.dumps(said)), Examiner()).counts
    assert sum(counts.values()) == COUNT


@pytest.mark.parametrize(
    "line", ["{n}.5, 12, 7, of a row", "the film of 19 85 was {n} times seen\t1", "a film {n}\tbad"]
)
def test_texts_with_spaces_stay_texts(folder: Path, line: str) -> None:
    content = "text\tlabel\n" if "\t" in line else "a,b,c,text\n"
    content += "".join(line.format(n=n) + ("" if n % 3 else " or so") + "\n" for n in range(COUNT))
    found = guess_format(Path(written("texts.tsv", content)), Format(), [])
    assert found.delimiter is None


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_what_is_not_decoded_is_one_error(folder: Path, name: str) -> None:
    Path(name).write_bytes("text,label\nfür 5 £,1\n".encode("latin-1"))
    with pytest.raises(TableError, match=r"format\.encoding"):
        guess_format(Path(name), Format(), [])
