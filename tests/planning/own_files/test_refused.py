"""Table files of the user's own, and entries on them, that are refused."""

from typing import Any

import pytest

from tests.planning.own_files.tables import ROWS, SPLIT, Problems, own, written

GOOD = "review,stars\none,0\ntwo,1\n"
BAD_FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "no such column": (
        "text,stars\none,0\n",
        ["columns.text: a.csv has no column 'review'; allowed: 'text', 'stars'"],
    ),
    "a column with a space": ("review ,stars\none,0\n", ["columns.text: ", "'review ', 'stars'"]),
    "a column twice": (
        "review,stars,review\none,0,x\n",
        ["columns.text: a.csv has 2 columns 'review'; allowed: one of that name"],
    ),
    "empty": ("", ["files.train: a.csv is empty"]),
    "a header alone": ("review,stars\n", ["files.train: a.csv has no rows"]),
    "blank texts": (
        "review,stars\n ,0\ntwo,1\n,1\n",
        ["columns.text: a.csv, column 'review': ", "line 2, line 4 (2 in all)"],
    ),
    "many blank labels": (
        "review,stars\none,0\ntwo,1\n" + "x,\n" * 9,
        ["columns.label: a.csv, column 'stars': ", "line 4, line 5, ", "line 8, ... (9 in all)"],
    ),
    "a blank after a long text": (
        'review,stars\n"one\nand\nmore",0\ntwo,1\nthree,\n',
        ["columns.label: ", "line 6 (1 in all)"],
    ),
    "one label": ("review,stars\none,0\n", ["columns.label: ", "all rows are '0'", "2 labels"]),
    "latin-1": (
        "review,stars\none,0\ncafé,1\n".encode("latin-1"),
        [
            "files.train: a.csv, line 3: byte 0xe9 is no UTF-8; allowed: a file in UTF-8",
            "format.encoding",
        ],
    ),
    "utf-16 without its mark": (GOOD.encode("utf-16-le"), ["columns.text: "]),
    "a value beyond the last column": (
        "review,stars\none,0,,\ntwo,1,x\n",
        ["files.train: a.csv, line 3: 3 values; allowed: 2"],
    ),
    "too many values": (
        "review,stars\none,0\ntwo, and,1\n",
        ["files.train: a.csv, line 3: 3 values; allowed: 2, one a column"],
    ),
    "too few values": ("review,stars\none,0\ntwo\n", ["files.train: a.csv, line 3: 1 values"]),
    "a quote left open": (
        'review,stars\none,0\n"two,1\nthree,1\n',
        ["files.train: a.csv, the record from line 3: ", "quotes about a whole value"],
    ),
    "a quote in a quoted text": (
        'review,stars\none,0\n"two" he said,1\n',
        ["files.train: a.csv, the record from line 3: "],
    ),
    "a missing label among numbers": (
        "review,stars\none,0\ntwo,1\nthree,NA\n",
        ["columns.label: 'NA' stands beside numbers"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_line(small: dict[str, Any], problems: Problems, name: str) -> None:
    content, fragments = BAD_FILES[name]
    files = {"train": written("a.csv", content), "validation": written("b.csv", GOOD)}
    files["test"] = written("c.csv", GOOD + "three,1\n")
    (line,) = problems(own(small, files=files))
    assert line.startswith(f"tasks.own.{fragments[0]}"), line
    assert all(fragment in line for fragment in fragments), line


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        (
            "a.jsonl",
            '{"review": "one", "stars": 0}\n{"review": 2',
            ["files.train: ", "line 2: no J"],
        ),
        ("a.jsonl", '["one", 0]\n', ["files.train: a.jsonl, line 1: no JSON object"]),
        ("a.jsonl", '{"review": "one"}\n', ["columns.label: a.jsonl has no column 'stars'"]),
        (
            "a.jsonl",
            '{"review": "one", "stars": 0}\n{"review": null, "stars": 1}\n{"review": ["x"]}',
            ["columns.text: a.jsonl, column 'review': ", "line 2, line 3 (2 in all)"],
        ),
        (
            "a.json",
            '{"review": {"0": "one"}, "stars": {"0": 1}}',
            ["files.train: a.json: its first object holds columns"],
        ),
        (
            "a.json",
            '[{"review": "one", "stars": 0}, 1]',
            ["files.train: a.json, item 2: no JSON o"],
        ),
        ("a.json", '[{"review": "one"', ["files.train: a.json: no JSON: "]),
        ("a.csv.gz", "review,stars\n", ["files.train: a.csv.gz: no whole gzip file"]),
        ("a.parquet", "no parquet", ["files.train: a.parquet: no parquet: "]),
        ("a.docx", "PK", ["files.train: a.docx: allowed endings: .csv, .tsv, .txt, .data, "]),
        (
            "a.xlsx",
            "PK",
            ["files.train: a.xlsx: a workbook, to be saved as CSV", "allowed endings: .csv, "],
        ),
    ],
)
def test_a_bad_file_of_another_kind_is_one_line(
    small: dict[str, Any], problems: Problems, name: str, content: str, fragments: list[str]
) -> None:
    files = {"train": written(name, content), "validation": written("b.csv", GOOD)}
    files["test"] = written("c.csv", GOOD + "three,1\n")
    (line,) = problems(own(small, files=files))
    assert line.startswith(f"tasks.own.{fragments[0]}"), line
    assert all(fragment in line for fragment in fragments), line


def test_a_label_that_training_does_not_know_is_named(
    small: dict[str, Any], problems: Problems
) -> None:
    files = {"train": written("a.csv", GOOD), "validation": written("b.csv", GOOD + "x,1\n")}
    files["test"] = written("c.csv", "review,stars\none,2\ntwo,1\nthree,2\n")
    assert problems(own(small, files=files)) == [
        "tasks.own.columns.label: test: '2' in line 2, line 4 (2 in all) is no label of the "
        "training data; allowed: '0', '1'"
    ]


FILES = {"train": "a.csv", "validation": "b.csv", "test": "c.csv"}
BAD_ENTRIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no file": ({"files": FILES | {"test": "gone.csv"}}, ["files.test: 'gone.csv' does not exist"]),
    "a folder": (
        {"files": FILES | {"test": "."}},
        ["files.test: '.' is a folder; allowed: a file"],
    ),
    "one file twice": (
        {"files": FILES | {"test": "a.csv"}},
        ["files.test: the same content as 'train'; allowed: other rows in every split"],
    ),
    "no test split": (
        {"files": {"train": "a.csv"}, "split": {"validation": 0.1}},
        ["files.test: this split is missing; allowed: a file, or a share in split"],
    ),
    "a split twice": (
        {"files": FILES, "split": {"test": 0.1}},
        ["split.test: files names it too; allowed: one of the two"],
    ),
    "too large shares": (
        {"files": "a.csv", "split": {"validation": 0.5, "test": 0.5}},
        ["split: shares of 1 leave nothing to train on"],
    ),
    "too few rows": (
        {"files": "b.csv", "split": {"validation": 0.1, "test": 0.1}},
        ["split: test: a share of 0.1 of 4 rows is none"],
    ),
    "a share as percent": (
        {"files": "a.csv", "split": {"validation": 10, "test": 0.1}},
        ["split.validation: 10 is not allowed; input should be less than 1"],
    ),
    "no such group": (
        {"files": "a.csv", "split": {"validation": 0.1, "test": 0.1, "group": "user"}},
        ["columns.group: a.csv has no column 'user'"],
    ),
    "no columns": ({"files": "a.csv", "columns": None}, ["columns: this key is required"]),
    "no files": ({}, ["files: this key is required"]),
    "a wrong key": ({"files": "a.csv", "column": {}}, ["column: ", "did you mean 'columns'?"]),
    "a wrong column key": (
        {"files": "a.csv", "columns": {"text": "review", "lable": "stars"}},
        ["columns.lable: unknown key 'lable': did you mean 'label'? allowed: label, text, text_p"],
    ),
    "several columns for a text": (
        {"files": "a.csv", "columns": {"text": ["review"], "label": "stars"}},
        ["columns.text: ['review'] is not allowed; allowed: one column"],
    ),
    "one column for numbers": (
        {
            "files": "a.csv",
            "kind": "tabular-regression",
            "columns": {"features": "a", "label": "b"},
        },
        ["columns.features: 'a' is not allowed; allowed: a list of columns of numbers"],
    ),
    "a wrong kind": (
        {"files": "a.csv", "kind": "image"},
        [
            "kind: unknown kind 'image': allowed: ",
            "flat-image-classification, image-classification",
        ],
    ),
    "a registered task": (
        {"files": "a.csv", "task": "glue"},
        ["columns: this key is not for a registered task"],
    ),
    "a source": (
        {"files": "a.csv", "source": {"uri": "path:."}},
        ["source: this key is for a registered task"],
    ),
    "a path beside splits": (
        {"files": FILES | {"path": "a.csv"}},
        ["files.path: 'a.csv' names all splits"],
    ),
    "an unknown metric": (
        {"files": "a.csv", "split": SPLIT, "metrics": ["acuracy"]},
        ["metrics: unknown metric 'acuracy'", "did you mean 'accuracy'?"],
    ),
    "a metric of numbers": (
        {"files": "a.csv", "split": SPLIT, "metrics": ["accuracy", "pearson"]},
        ['metrics: "pearson" is not allowed; kind', "has classes; allowed: accuracy, f1, "],
    ),
    "a metric of classes": (
        {"files": "a.csv", "split": SPLIT, "kind": "text-regression", "metrics": ["macro_f1"]},
        ['metrics: "macro_f1" is not allowed; kind', "has numbers; allowed: mse, "],
    ),
    "a metric of two classes": (
        {"files": "three.csv", "split": SPLIT, "metrics": ["f1"]},
        ["metrics: the task has 3 classes, and f1 is defined on the classes 0 and 1"],
    ),
    "a metric twice": (
        {"files": "a.csv", "split": SPLIT, "metrics": ["f1", "f1"]},
        ["metrics: 'f1' stands twice"],
    ),
    "names of a regression": (
        {"files": "a.csv", "split": SPLIT, "kind": "text-regression", "labels": ["a", "b"]},
        ["labels: kind 'text-regression' has no classes"],
    ),
    "too few names": (
        {"files": "three.csv", "split": SPLIT, "labels": {"0": "no", "1": "yes"}},
        ["labels: '2' do not fit the labels '0', '1', '2'; allowed: a name for each"],
    ),
    "names in no order": (
        {"files": "a.csv", "split": SPLIT, "labels": ["no", "yes", "maybe"]},
        ["labels: 'maybe', 'no', 'yes' do not fit the labels '0', '1'", "a mapping"],
    ),
    "one name for two": (
        {"files": "a.csv", "split": SPLIT, "labels": ["no", "no"]},
        ['labels: ["no", "no"] is not allowed', "none twice"],
    ),
    "a label to drop that no row has": (
        {"files": "a.csv", "split": SPLIT, "drop": {"label": ["-"]}},
        ["drop.label: no row has '-'"],
    ),
    "no encoding": (
        {"files": "a.csv", "split": SPLIT, "format": {"encoding": "latin-99"}},
        ['format.encoding: "latin-99" is not allowed', "cp1252"],
    ),
    "an encoding that does not fit": (
        {"files": "latin.csv", "split": SPLIT, "format": {"encoding": "ascii"}},
        ["files.train: latin.csv, line 1: byte 0xe9 is no ascii"],
    ),
    "a delimiter of parquet": (
        {"files": "a.parquet", "split": SPLIT, "format": {"delimiter": ";"}},
        ["format.delimiter: no file of .parquet has that"],
    ),
    "a number where there is a header": (
        {"files": "a.csv", "split": SPLIT, "columns": {"text": 0, "label": 1}},
        ["columns.text: a.csv has no column 0; allowed: a name, or format.header: false"],
    ),
    "a name where there is none": (
        {"files": "a.csv", "split": SPLIT, "format": {"header": False}},
        ["columns.text: a.csv has no column 'review'; allowed: 0 to 1"],
    ),
    "a number beyond the last": (
        {
            "files": "a.csv",
            "split": SPLIT,
            "format": {"header": False},
            "columns": {"text": 0, "label": 2},
        },
        ["columns.label: a.csv has no column 2; allowed: 0 to 1"],
    ),
    "no list": ({"files": ["a.csv", "b.csv"]}, ["files: "]),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_a_bad_entry_is_named(small: dict[str, Any], problems: Problems, name: str) -> None:
    entry, fragments = BAD_ENTRIES[name]
    written("a.csv", ROWS)
    written("b.csv", ROWS[:5])
    written("c.csv", ROWS[:6])
    written("three.csv", [ROWS[0], *([f"text {n}", str(n % 3)] for n in range(30))])
    written("latin.csv", "café,stars\n".encode("latin-1"))
    written("a.parquet", b"PAR1")
    lines = problems(own(small, **entry))
    assert lines[0].startswith(f"tasks.own.{fragments[0]}"), lines
    assert all(fragment in lines[0] for fragment in fragments), lines
    assert len(lines) == 1, lines


def test_an_empty_entry_says_what_there_is(small: dict[str, Any], problems: Problems) -> None:
    small["tasks"]["digits"] = {}
    assert problems(small) == [
        "tasks.digits.task: this key is required, or kind with files and columns"
    ]


def test_a_regression_refuses_words(small: dict[str, Any], problems: Problems) -> None:
    rows = [*ROWS, ["x", "3,5"], ["y", "many"], ["z", "1e999"]]
    content = own(small, kind="text-regression", files=written("a.csv", rows), split=SPLIT)
    assert problems(content) == [
        "tasks.own.columns.label: a.csv, column 'stars': blank or wrong in line 22, line 23, "
        "line 24 (3 in all); allowed: numbers, with a point; or format.decimal and "
        "format.thousands that say how they are written"
    ]
