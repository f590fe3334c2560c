"""Tables of numbers as UCI, Kaggle and scikit-learn have them: label, features, and numbers."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from finegrid.cli.main import app
from finegrid.planning.benchmark import read_benchmark
from finegrid.planning.guess import Guess, GuessError, Options
from finegrid.planning.guess_numbers import guess_numbers
from finegrid.planning.own_files import of_files
from finegrid.planning.plan import make_plan
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from tests.planning.own_files.tables import written

COUNT = 60
Cell = Callable[[int], Any]


def table(header: str | None, *cells: Cell, between: str = ",") -> str:
    """Rows of values that are made by number."""
    rows = [between.join(str(make(n)) for make in cells) for n in range(COUNT)]
    return "\n".join([*([header] if header is not None else []), *rows]) + "\n"


def one_of(*values: Any) -> Cell:
    """Values that are drawn, of which each comes back."""
    drawn = random.Random(repr(values)).choices(values, k=COUNT)  # noqa: S311
    return lambda n: drawn[n]


def real(scale: float, digits: int = 2) -> Cell:
    """Numbers that come back here and there."""
    return lambda n: f"{scale * ((n * 37) % 41) / 41:.{digits}f}"


def guessed(name: str, content: str, **given: Any) -> Guess:
    found = guess_numbers({"train": (Path(written(name, content)),)}, Options(**given))
    assert found is not None
    return found


def comma(cell: Cell) -> Cell:
    return lambda n: cell(n).replace(".", ",")


WINE = '"fixed acidity";"citric acid";"residual sugar";"quality"'
TITANIC = "PassengerId,Survived,Pclass,Name,Sex,Age,Ticket,Fare,Embarked"
CLASSES, NUMBERS = "tabular-classification", "tabular-regression"
LAYOUTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "wine quality, UCI": (
        "winequality-red.csv",
        table(WINE, real(9), real(1), real(15, 1), one_of(3, 4, 5, 6, 7, 8), between=";"),
        {
            "kind": CLASSES,
            "columns": {
                "features": ("fixed acidity", "citric acid", "residual sugar"),
                "label": "quality",
            },
            "features": {"scale": "standard"},
        },
    ),
    "iris, UCI": (
        "iris.data",
        table(
            None,
            real(8, 1),
            real(5, 1),
            real(6, 1),
            real(2, 1),
            one_of("Iris-setosa", "Iris-virginica"),
        ),
        {
            "kind": CLASSES,
            "columns": {"features": (0, 1, 2, 3), "label": 4},
            "format": {"header": False},
        },
    ),
    "adult, UCI": (
        "adult.data",
        table(
            None,
            lambda n: 17 + n % 40,
            one_of("Private", "State-gov", "?"),
            lambda n: 77516 + 13 * n,
            one_of("Male", "Female"),
            one_of("<=50K", ">50K"),
            between=", ",
        ),
        {
            "kind": CLASSES,
            "columns": {"features": (0, 1, 2, 3), "label": 4},
            "features": {"scale": "standard", "categories": [1, 3]},
            "format": {"header": False, "missing": ("?",)},
        },
    ),
    "breast cancer, UCI": (
        "breast-cancer-wisconsin.data",
        table(
            None,
            lambda n: 1000025 + n * n,
            lambda n: 1 + n % 10,
            one_of(1, 5, "?", 3),
            one_of(2, 4),
        ),
        {
            "kind": CLASSES,
            "columns": {"features": (1, 2), "label": 3},
            "features": {"scale": "standard", "missing": "mean"},
            "format": {"header": False, "missing": ("?",)},
        },
    ),
    "titanic, Kaggle": (
        "titanic.csv",
        table(
            TITANIC,
            lambda n: n + 1,
            one_of(0, 1),
            one_of(1, 2, 3),
            lambda n: f'"Braund, Mr. Owen Harris {n}"',
            one_of("male", "female"),
            lambda n: "" if n % 7 == 0 else 20 + n % 30,
            lambda n: f"A/5 {21171 + n}",
            real(80, 4),
            one_of("S", "C", "Q", ""),
        ),
        {
            "kind": CLASSES,
            "columns": {
                "features": ("Pclass", "Sex", "Age", "Fare", "Embarked"),
                "label": "Survived",
            },
            "features": {"scale": "standard", "missing": "mean", "categories": ["Sex", "Embarked"]},
        },
    ),
    "house prices, Kaggle": (
        "house.csv",
        table(
            "Id,MSZoning,LotArea,GrLivArea,SalePrice",
            lambda n: n + 1,
            one_of("RL", "RM", "FV"),
            lambda n: 8450 + (n * 311) % 4000,
            lambda n: 1710 + (n * 17) % 900,
            lambda n: 208500 + (n * 7919) % 90000,
        ),
        {
            "kind": NUMBERS,
            "columns": {"features": ("MSZoning", "LotArea", "GrLivArea"), "label": "SalePrice"},
            "features": {"scale": "standard", "categories": ["MSZoning"], "scale_label": True},
        },
    ),
    "diabetes, Kaggle": (
        "diabetes.csv",
        table(
            "Pregnancies,Glucose,BMI,Outcome",
            one_of(0, 1, 2, 6),
            lambda n: 90 + n % 50,
            real(40, 1),
            one_of(0, 1),
        ),
        {
            "kind": CLASSES,
            "columns": {"features": ("Pregnancies", "Glucose", "BMI"), "label": "Outcome"},
        },
    ),
    "a data frame of pandas, with its index": (
        "frame.csv",
        table(",a,b,y", lambda n: n, real(3), real(4, 3), real(70, 3)),
        {"kind": NUMBERS, "columns": {"features": ("a", "b"), "label": "y"}},
    ),
    "scikit-learn's frame, with the names of its target": (
        "iris.csv",
        table(
            "length,width,target,target_name",
            real(3),
            real(4),
            lambda n: n % 3,
            lambda n: ("a", "b", "c")[n % 3],
        ),
        {"kind": CLASSES, "columns": {"features": ("length", "width"), "label": "target"}},
    ),
    "decimal commas of a German spreadsheet": (
        "messung.csv",
        table(
            "Druck;Dichte;Temperatur",
            comma(real(900, 1)),
            comma(real(9, 3)),
            comma(real(30, 2)),
            between=";",
        ),
        {
            "kind": NUMBERS,
            "columns": {"features": ("Druck", "Dichte"), "label": "Temperatur"},
            "format": {"decimal": ","},
        },
    ),
    "thousands in quotes": (
        "sales.csv",
        table(
            "Store,Visits,Price",
            one_of("A", "B"),
            lambda n: f'"{1000 + n * 977:,}"',
            lambda n: f'"{n * 1017.5:,.2f}"',
        ),
        {
            "kind": NUMBERS,
            "columns": {"features": ("Store", "Visits"), "label": "Price"},
            "format": {"thousands": ","},
        },
    ),
    "mushrooms, UCI, by its kind": (
        "mushrooms.csv",
        table("class,cap,odor", one_of("e", "p"), one_of("x", "b", "f"), one_of("n", "a", "?")),
        {
            "kind": CLASSES,
            "given": {"kind": CLASSES},
            "columns": {"features": ("cap", "odor"), "label": "class"},
            "format": {"missing": ("?",)},
            "features": {"scale": "standard", "categories": ["cap", "odor"]},
        },
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_guessed_and_read(folder: Path, name: str) -> None:
    file, content, expected = LAYOUTS[name]
    found = guessed(file, content, **expected.get("given", {}))
    assert (found.kind, found.columns) == (expected["kind"], expected["columns"])
    how = found.how.model_dump(exclude_defaults=True)
    assert how == expected.get("format", {})
    if "features" in expected:
        assert found.asked == {"features": expected["features"]}
    entry = {"kind": found.kind, "files": file, "columns": found.columns, "format": how}
    said = entry | found.asked | {"split": {"validation": 0.2, "test": 0.2}}
    counts = of_files(TaskEntry.model_validate_json(json.dumps(said)), Examiner()).counts
    assert sum(counts.values()) == COUNT


ASKED: dict[str, tuple[str, str, str]] = {
    "wine, whose class comes first": (
        "wine.data",
        table(None, one_of(1, 2, 3), real(14), real(4), lambda n: 1065 + n * 11),
        "of the columns 0, 3 several may be labels; say it: --label",
    ),
    "abalone, with sexes": (
        "abalone.data",
        table(None, one_of("M", "F", "I"), real(1, 3), real(1, 4), lambda n: n % 29 + 1),
        "of the columns 0, 3 several may be labels; say it: --label",
    ),
    "two usual names": (
        "a.csv",
        table("a,b,quality,price", real(1), real(2), one_of(1, 2), real(9)),
        "of the columns quality, price several may be labels; say it: --label",
    ),
    "decimals or thousands": (
        "a.csv",
        "a;b;y\n"
        + "".join(f"{1 + n % 9},{100 + 13 * n};{3 * n % 17};{5 * n}\n" for n in range(60)),
        "a: '1,100' has decimals or thousands; say it: --decimal ',' (or '.', of thousands by",
    ),
    "scikit-learn's files, whose first line counts": (
        "iris.csv",
        table("60,2,setosa,virginica", real(8), real(9, 3), real(7, 3), lambda n: n % 2),
        "2: 'setosa' among numbers; allowed: numbers, or what programs write for a missing",
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_is_ambiguous_is_asked_for(folder: Path, name: str) -> None:
    file, content, words = ASKED[name]
    with pytest.raises(GuessError) as error:
        guessed(file, content)
    assert words in str(error.value)


def test_what_is_said_decides(folder: Path) -> None:
    file, content, _ = ASKED["wine, whose class comes first"]
    found = guessed(file, content, label="0")
    assert (found.kind, found.columns) == (CLASSES, {"features": (1, 2, 3), "label": 0})
    file, content, _ = ASKED["decimals or thousands"]
    assert guessed(file, content, label="y", decimal=",").how.decimal == ","
    thousands = guessed(file, content, label="y", decimal=".").how
    assert (thousands.decimal, thousands.thousands) == (".", ",")
    file, content, _ = LAYOUTS["wine quality, UCI"]
    assert guessed(file, content, kind=NUMBERS).asked["features"] == {
        "scale": "standard",
        "scale_label": True,
    }


def test_numbered_columns_have_a_header(folder: Path) -> None:
    """As data frames of pandas without names have it, and one that was given a name."""
    found = guessed("a.csv", table("0,1,2,class", real(3), real(4), real(5), one_of(0, 1)))
    columns = {"features": ("0", "1", "2"), "label": "class"}
    assert (found.how.header, found.columns) == (True, columns)
    content = table(None, real(3), real(4), lambda n: "class" if n == 9 else n % 2)
    reasons = guessed("b.csv", content).reasons
    assert "of one row alone: 'class' of 2" in reasons


def test_what_names_a_row_is_left_out_and_told(folder: Path) -> None:
    file, content, _ = LAYOUTS["titanic, Kaggle"]
    reasons = guessed(file, content).reasons
    assert "left out, other in each row, as what names it: PassengerId" in reasons
    assert any(one.endswith("too few rows of each: Name, Ticket") for one in reasons)
    file, content, _ = LAYOUTS["scikit-learn's frame, with the names of its target"]
    assert "left out, they are target in other words: target_name" in guessed(file, content).reasons


@pytest.mark.parametrize(
    "content",
    [
        table(
            "Id,Score,Helpful,Time,Text",
            lambda n: n,
            one_of(1, 5),
            one_of(0, 1),
            real(9),
            lambda n: f"a film of love and music {n}",
        ),
        table("text,label", lambda n: f"a film of love {n}", one_of(0, 1)),
    ],
    ids=["reviews", "texts"],
)
def test_texts_are_no_rows_of_numbers(folder: Path, content: str) -> None:
    assert guess_numbers({"train": (Path(written("a.csv", content)),)}, Options()) is None


def init(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["init", *arguments])


@pytest.mark.parametrize("name", ["titanic, Kaggle", "house prices, Kaggle"])
def test_a_file_alone_makes_a_benchmark_and_its_plan(folder: Path, name: str) -> None:
    file, content, expected = LAYOUTS[name]
    written(file, content)
    done = init(file)
    assert done.exit_code == 0, done.output
    benchmark = str(Path(file).with_suffix(".yaml"))
    said = yaml.safe_load(Path(benchmark).read_text())
    (entry,) = said["tasks"].values()
    assert entry["kind"] == expected["kind"]
    assert entry["features"] == expected["features"]
    plan = make_plan(read_benchmark(benchmark))
    rank = min(8, said["models"]["network"]["layers"][0])
    assert {cell.variant for cell in plan.cells} == {"full", f"lora-r{rank}", "head"}
    assert not any(cell.not_applicable for cell in plan.cells)
    outputs = 2 if expected["kind"] == CLASSES else 1
    assert said["models"]["network"]["layers"][-1] == outputs


def test_a_model_is_named_for_texts_and_for_no_numbers(folder: Path) -> None:
    written("a.csv", table("text,label", lambda n: f"a film of love {n}", one_of(0, 1)))
    assert "model: this argument is required for kind 'text-classification'" in init("a.csv").stderr
    file, content, _ = LAYOUTS["diabetes, Kaggle"]
    written(file, content)
    Path("bert").mkdir()
    Path("bert/config.json").write_text("{}")
    done = init(file, "bert", "--kind", CLASSES)
    assert "are read by a plain stack of layers; allowed: a file on this machine" in done.stderr
    assert "--decimal: ';' is not allowed; allowed: . or ," in init(file, "--decimal", ";").stderr
