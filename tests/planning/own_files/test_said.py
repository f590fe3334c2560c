"""What a benchmark says of the user's own files: format, classes, metrics, rows to drop."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.planning.schema import Benchmark
from finegrid.planning.yaml_reader import read_yaml
from tests.planning.own_files.tables import ROWS, SPLIT, own, planned, prepared, written

NO_HEADER = {"format": {"header": False}, "columns": {"text": 1, "label": 0}}


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("cp1252", {"encoding": "cp1252"}),
        ("latin-1", {"encoding": "latin-1"}),
        ("utf-16-le", {"encoding": "utf-16-le"}),
        ("utf-8-sig", {"encoding": "utf-8"}),
    ],
)
def test_an_encoding_that_is_said_is_read(
    small: dict[str, Any], folder: Path, encoding: str, said: dict[str, Any]
) -> None:
    lines = ["review,stars", *(f"größer {n},{n % 2}" for n in range(20))]
    written("a.csv", "\n".join(lines).encode(encoding))
    frames = prepared(planned(small, files="a.csv", split=SPLIT, format=said), folder / "prepared")
    texts = {text for frame in frames.values() for text in frame["text"]}
    assert texts == {f"größer {n}" for n in range(20)}


@pytest.mark.parametrize(
    ("name", "mark", "said", "text"),
    [
        ("a.csv", "|", {"delimiter": "|"}, "one, two; {}"),
        ("a.tsv", "\t", {"quotes": False}, '"one" he said {}'),
        ("a.tsv", "\t", {"quotes": False}, '"two {}'),
    ],
)
def test_delimiter_and_quotes_are_as_they_are_said(
    small: dict[str, Any], folder: Path, name: str, mark: str, said: dict[str, Any], text: str
) -> None:
    """Quotes without a meaning as in the tables of GLUE."""
    rows = [["review", "stars"], *([text.format(n), str(n % 2)] for n in range(20))]
    written(name, "\n".join(map(mark.join, rows)))
    frames = prepared(planned(small, files=name, split=SPLIT, format=said), folder / "prepared")
    texts = {found for frame in frames.values() for found in frame["text"]}
    assert texts == {text.format(n) for n in range(20)}


def test_columns_without_a_header_are_numbers_as_pandas_counts_them(
    small: dict[str, Any], folder: Path
) -> None:
    rows = [["3", "Wall St. Bears; Reuters", "Short-sellers, again"], ["4", "Carlyle", "A firm"]]
    rows = [[label, f"{title} {n}", text] for n in range(10) for label, title, text in rows]
    with Path("train.csv").open("w", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(rows)
    frame = pd.read_csv("train.csv", header=None)
    task = planned(small, files="train.csv", split=SPLIT, **NO_HEADER)
    assert task.options["labels"] == sorted(str(label) for label in frame[0].unique())
    frames = prepared(task, folder / "prepared")
    texts = sorted(text for split in frames.values() for text in split["text"])
    assert texts == sorted(frame[1])


# classes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "named", "names", "first"),
    [
        (["-1", "1"], "{-1: negative, 1: positive}", ["negative", "positive"], "negative"),
        (["-1", "1"], "{1: positive, -1: negative}", ["positive", "negative"], "negative"),
        (["0", "4"], '{"0": bad, "4": good}', ["bad", "good"], "bad"),
        (["0", "1"], "[negative, positive]", ["negative", "positive"], "negative"),
        (["1.0", "2.0"], "{1: one, 2: two}", ["one", "two"], "one"),
        (["ham", "spam"], "[spam, ham]", ["spam", "ham"], "ham"),
        (["ham", "spam"], "{spam: junk, ham: mail}", ["junk", "mail"], "mail"),
        (["False", "True"], "{False: no, True: yes}", ["no", "yes"], "no"),
        (["1", "5"], "[5, 1]", ["5", "1"], "1"),
    ],
)
def test_classes_have_the_names_and_the_order_that_are_given(
    small: dict[str, Any],
    folder: Path,
    labels: list[str],
    named: str,
    names: list[str],
    first: str,
) -> None:
    rows = [["review", "stars"], *([f"text {n}", labels[n % 2]] for n in range(20))]
    task = planned(small, files=written("a.csv", rows), split=SPLIT, labels=read_yaml(named))
    assert task.options["labels"] == names
    frames = prepared(task, folder / "prepared")
    found = {
        text: label for frame in frames.values() for text, label in frame[["text", "label"]].values
    }
    assert found["text 0"] == found["text 2"] == first
    assert set(found.values()) == set(names)


def test_names_that_a_file_of_the_datasets_library_stores_are_taken(
    small: dict[str, Any], folder: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"stars": {"names": ["neg", "pos"], "_type": "ClassLabel"}}
    table = pa.table({"review": [f"text {n}" for n in range(20)], "stars": [0, 1] * 10})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), "a.parquet")
    assert planned(small, files="a.parquet", split=SPLIT).options["labels"] == ["neg", "pos"]
    given = planned(small, files="a.parquet", split=SPLIT, labels=["bad", "good"])
    assert given.options["labels"] == ["bad", "good"]


# metrics ------------------------------------------------------------------------------------------


def test_metrics_are_those_that_are_named_and_the_first_decides(
    small: dict[str, Any], folder: Path
) -> None:
    from finegrid.prepare.task import prepare_task

    task = planned(
        small, files=written("a.csv", ROWS), split=SPLIT, metrics=["macro_f1", "accuracy"]
    )
    assert prepare_task(task, folder / "prepared").metrics == ("macro_f1", "accuracy")
    content = own(small, kind="text-regression", files="a.csv", split=SPLIT, metrics=["mse"])
    made = make_plan(parse_benchmark(content))
    numbers = next(iter(made.runs.values())).task
    assert prepare_task(numbers, folder / "numbers").metrics == ("mse",)


def test_all_that_is_said_reaches_the_job_that_plans(small: dict[str, Any]) -> None:
    said = {
        "files": {"train": ["a.csv", "b.csv"], "test": "c.csv"},
        "columns": {"text": 0, "label": 1},
        "labels": {-1: "no", 1: "yes"},
        "format": {"header": False, "encoding": "cp1252"},
        "drop": {"label": [None, 3]},
        "metrics": ["f1"],
        "split": {"validation": 0.1, "group": 2},
    }
    benchmark = parse_benchmark(own(small, **said))
    again = Benchmark.model_validate_json(benchmark.model_dump_json(exclude_unset=True))
    assert again == benchmark
    assert again.tasks["own"].labels == {"-1": "no", "1": "yes"}


# rows to drop -------------------------------------------------------------------------------------


def test_rows_are_dropped_by_their_values_and_the_others_keep_their_numbers(
    small: dict[str, Any], folder: Path
) -> None:
    """As the pairs of SNLI without a majority."""
    lines: list[dict[str, Any]] = [
        {"gold_label": "-" if n % 5 == 0 else ("yes", "no")[n % 2], "sentence1": f"text {n}"}
        for n in range(40)
    ]
    lines[7]["sentence1"] = " "
    lines[8]["gold_label"] = None
    written("a.jsonl", "\n".join(map(json.dumps, lines)))
    columns = {"text": "sentence1", "label": "gold_label"}
    said = {"columns": columns, "drop": {"label": ["-", None], "text": [""]}}
    task = planned(small, files="a.jsonl", split=SPLIT, **said)
    assert task.options["labels"] == ["no", "yes"]
    frames = prepared(task, folder / "prepared")
    rows = {row for frame in frames.values() for row in frame["id"]}
    kept = [n for n in range(40) if n % 5 and n not in (7, 8)]
    assert rows == {f"train-{n + 1}" for n in kept}
