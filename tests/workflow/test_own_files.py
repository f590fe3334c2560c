"""A benchmark on table files of the user's own, without code: what is read, and what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from records.specification import Task
from workflow.benchmark import parse_benchmark
from workflow.plan import make_plan
from workflow.prepare_task import prepare_task

Problems = Callable[[Any], list[str]]
TEXTS = {"text": "review", "label": "stars"}
ROWS = [["review", "stars"], *([f"text {n}", str(n % 2)] for n in range(20))]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(name: str, content: Any, **options: Any) -> str:
    """A file of rows, or of the text or bytes that are given."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        with path.open("w", newline="", encoding=options.pop("encoding", "utf-8")) as stream:
            csv.writer(stream, **options).writerows(content)
    return name


def own(small: dict[str, Any], **task: Any) -> dict[str, Any]:
    """The small benchmark's transformer on a task of files, which is called `own`."""
    tasks = {"own": {"kind": "text-classification", "columns": TEXTS} | task}
    return small | {"grids": [small["grids"][1] | {"tasks": ["own"]}], "tasks": tasks}


def planned(small: dict[str, Any], **task: Any) -> Task:
    return next(iter(make_plan(parse_benchmark(own(small, **task))).runs.values())).task


def prepared(task: Task, folder: Path) -> dict[str, pd.DataFrame]:
    """The splits of the prepared task, labels by their names."""
    manifest = prepare_task(task, folder / task.key)
    frames: dict[str, pd.DataFrame] = {}
    for name in manifest.splits:
        frame = pd.read_parquet(folder / task.key / f"{name}.parquet")
        labels = frame["label"]
        frames[name] = frame.assign(
            label=[manifest.labels[at] for at in labels] if manifest.labels else labels
        )
    return frames


def read(small: dict[str, Any], folder: Path, train: str, **task: Any) -> list[tuple[str, str]]:
    """Texts and labels of a training file, beside plain files of the two other splits."""
    labels = task.pop("labels", ["0", "1"])
    for split in ("validation", "test"):
        rows = [["review", "stars"], *([f"{split} {label}", label] for label in labels)]
        written(f"{split}.csv", rows)
    files = {"train": train, "validation": "validation.csv", "test": "test.csv"}
    frame = prepared(planned(small, files=files, **task), folder / "prepared")["train"]
    return list(zip(frame["text"], frame["label"], strict=True))


# what is read -------------------------------------------------------------------------------------

PLAIN = [("one", "0"), ("two", "1")]
SHAPES: dict[str, tuple[str, str | bytes]] = {
    "comma": ("a.csv", "review,stars\none,0\ntwo,1\n"),
    "windows line ends, no last one": ("a.csv", b"review,stars\r\none,0\r\ntwo,1"),
    "old line ends": ("a.csv", b"review,stars\rone,0\rtwo,1\r"),
    "excel: semicolons and a mark": ("a.csv", b"\xef\xbb\xbfreview;stars\r\none;0\r\ntwo;1\r\n"),
    "tabs in a csv": ("a.csv", "review\tstars\none\t0\ntwo\t1\n"),
    "tsv in capitals": ("A.TSV", "review\tstars\none\t0\ntwo\t1\n"),
    "quoted": ("a.csv", '"review","stars"\n"one","0"\n"two","1"\n'),
    "other columns": ("a.csv", 'id,review,"a, b",stars\n1,one,x,0\n2,two,"y,z",1\n'),
    "empty lines": ("a.csv", "review,stars\n\none,0\n,\ntwo,1\n\n\n"),
    "columns in another order": ("a.csv", "stars;review\n0;one\n1;two\n"),
    "spaces about labels": ("a.csv", "review,stars\none, 0\ntwo,1 \n"),
    "whole numbers as decimals": ("a.csv", "review,stars\none,0.0\ntwo,1.0\n"),
    "two of another column": ("a.csv", "note,review,note,stars\n,one,,0\n,two,,1\n"),
    "json lines": (
        "a.jsonl",
        '{"review": "one", "stars": 0}\n\n{"stars": 1.0, "review": "two", "more": [1]}\n',
    ),
    "json with a mark": (
        "a.jsonl",
        b'\xef\xbb\xbf{"review":"one","stars":"0"}\r\n{"review":"two","stars":"1"}\r\n',
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_table_is_read_in_whatever_shape_it_comes(
    small: dict[str, Any], folder: Path, name: str
) -> None:
    file, content = SHAPES[name]
    assert read(small, folder, written(file, content)) == PLAIN


def test_parquet_is_read_with_labels_as_numbers(small: dict[str, Any], folder: Path) -> None:
    frame = pd.DataFrame({"more": [[1], [2]], "review": ["one", "two"], "stars": [0, 1]})
    frame.to_parquet("a.parquet")
    assert read(small, folder, "a.parquet") == PLAIN


TEXTS_AS_THEY_STAND = [
    *("NA", "None", "nan", "null", "-", "1", "1e5", "True", "#N/A", "=1+1", "a,b;c\td", "\\n"),
    *('she said "no"', "two\nlines", "two\r\nlines", "  spaces  ", "ünïcode 🙂", "a\u2028b"),
    "x" * 300_000,
]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_text_is_what_the_file_says(small: dict[str, Any], folder: Path, ending: str) -> None:
    name, rows = f"a.{ending}", [(text, n % 2) for n, text in enumerate(TEXTS_AS_THEY_STAND)]
    frame = pd.DataFrame(rows, columns=["review", "stars"])
    if ending == "csv":
        written(name, [["review", "stars"], *rows])
    elif ending == "jsonl":
        lines = [json.dumps(row, ensure_ascii=False) for row in frame.to_dict("records")]
        written(name, "\n".join(lines).encode())
    else:
        frame.to_parquet(name)
    assert [text for text, _ in read(small, folder, name)] == TEXTS_AS_THEY_STAND


@pytest.mark.parametrize(
    ("written_labels", "labels"),
    [
        (["10", "9", "1"], ["1", "9", "10"]),
        (["1.0", "1", "2"], ["1", "2"]),
        (["0.5", "-1", "0.50"], ["-1", "0.5"]),
        (["good", "bad", "Bad"], ["Bad", "bad", "good"]),
        (["True", "False", "True"], ["False", "True"]),
        (["very good", " very good ", "so so"], ["so so", "very good"]),
        (["01", "1", "1"], ["01", "1"]),
        (["NA", "none", "some"], ["NA", "none", "some"]),
        (["2+", "1", "0"], ["0", "1", "2+"]),
    ],
)
def test_labels_are_found_and_ordered(
    small: dict[str, Any], written_labels: list[str], labels: list[str]
) -> None:
    rows = [["review", "stars"], *([f"text {n}", one] for n, one in enumerate(written_labels))]
    files = {
        "train": written("a.csv", rows),
        "validation": written("b.csv", [*rows, rows[1]]),
        "test": written("c.csv", rows[:-1]),
    }
    assert planned(small, files=files).options["labels"] == labels


def test_labels_of_parquet_may_be_of_any_plain_type(small: dict[str, Any], folder: Path) -> None:
    texts = ["one", "two"]
    for values, labels in (
        ([True, False], ["True", "False"]),
        (pd.Categorical(["b", "a"]), ["b", "a"]),
        ([2.0, 1.0], ["2", "1"]),
        ([-3, 12], ["-3", "12"]),
    ):
        pd.DataFrame({"review": texts, "stars": values}).to_parquet("a.parquet")
        found = read(small, folder, "a.parquet", labels=labels)
        assert [label for _, label in found] == labels


def test_a_pair_of_texts_is_read(small: dict[str, Any], folder: Path) -> None:
    rows = [["a", "b", "stars"], *([f"a{n}", f"b{n}", str(n % 2)] for n in range(10))]
    columns = {"text": "a", "text_pair": "b", "label": "stars"}
    task = planned(small, files=written("a.csv", rows), columns=columns, split=SPLIT)
    frames = prepared(task, folder / "prepared")
    pairs = {
        pair
        for frame in frames.values()
        for pair in zip(frame["text"], frame["text_pair"], strict=True)
    }
    assert pairs == {(f"a{n}", f"b{n}") for n in range(10)}


def test_a_regression_has_numbers(small: dict[str, Any], folder: Path) -> None:
    rows = [["review", "stars"], *([f"text {n}", str(n / 2)] for n in range(20))]
    rows[3][1] = "1e1"
    kind = "text-regression"
    task = planned(small, kind=kind, files=written("a.csv", rows), split=SPLIT)
    frames = prepared(task, folder / "prepared")
    assert sorted(label for frame in frames.values() for label in frame["label"]) == sorted(
        float(row[1]) for row in rows[1:]
    )


# identity -----------------------------------------------------------------------------------------


def test_the_content_of_the_files_is_the_task_s_identity(small: dict[str, Any]) -> None:
    file = written("a.csv", ROWS)
    before = planned(small, files=file, split=SPLIT)
    assert planned(small, files=file, split=SPLIT) == before
    written("a.csv", [*ROWS, ["text 20", "0"]])
    assert planned(small, files=file, split=SPLIT).key != before.key


def test_a_file_that_changes_after_planning_is_refused(small: dict[str, Any], folder: Path) -> None:
    task = planned(small, files=written("a.csv", ROWS), split=SPLIT)
    written("a.csv", [*ROWS, ["text 20", "0"]])
    with pytest.raises(Exception, match=r"a\.csv has sha256"):
        prepared(task, folder / "prepared")


@pytest.mark.parametrize("place", ["", "data/", "a/b/", "./", "data/../data/"])
def test_files_may_lie_in_folders_of_their_own(
    small: dict[str, Any], folder: Path, place: str
) -> None:
    files = {
        "train": written(f"{place}train.csv", ROWS),
        "validation": written("validation.csv", ROWS[:9]),
        "test": str(folder / written(f"{place}deeper/test.csv", ROWS[:7])),
    }
    sizes = {
        name: len(rows) for name, rows in prepared(planned(small, files=files), folder).items()
    }
    assert sizes == {"train": 20, "validation": 8, "test": 6}


def test_home_is_known(
    small: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    written("at-home/a.csv", ROWS)
    task = planned(small, files="~/at-home/a.csv", split=SPLIT)
    assert sum(map(len, prepared(task, folder / "prepared").values())) == 20


# splits -------------------------------------------------------------------------------------------

SPLIT = {"validation": 0.2, "test": 0.3}


def test_shares_are_held_out_with_the_labels_in_proportion(
    small: dict[str, Any], folder: Path
) -> None:
    rows = [["review", "stars"], *([f"text {n}", "b" if n < 20 else "a"] for n in range(100))]
    task = planned(small, files=written("a.csv", rows), split=SPLIT)
    frames = prepared(task, folder / "prepared")
    counts = {name: frame["label"].value_counts().to_dict() for name, frame in frames.items()}
    assert counts == {
        "train": {"a": 40, "b": 10},
        "validation": {"a": 16, "b": 4},
        "test": {"a": 24, "b": 6},
    }
    texts = [text for frame in frames.values() for text in frame["text"]]
    assert sorted(texts) == sorted(row[0] for row in rows[1:])
    other = planned(small, files="a.csv", split=SPLIT | {"seed": 1})
    again = prepared(other, folder / "prepared")["test"]["text"]
    assert set(again) != set(frames["test"]["text"])
    less = planned(small, files="a.csv", split=SPLIT | {"validation": 0.1})
    kept = prepared(less, folder / "prepared")["test"]["text"]
    assert list(kept) == list(frames["test"]["text"]), (
        "the test split does not depend on the others"
    )


def test_a_group_stays_in_one_split(small: dict[str, Any], folder: Path) -> None:
    rows = [["review", "stars", "user"]]
    rows += [[f"text {n}", str(n % 2), f"user {n % 13}"] for n in range(100)]
    task = planned(small, files=written("a.csv", rows), split=SPLIT | {"group": "user"})
    frames = prepared(task, folder / "prepared")
    users = {text: user for text, _, user in rows[1:]}
    seen = {name: {users[text] for text in frame["text"]} for name, frame in frames.items()}
    assert sum(map(len, seen.values())) == 13
    assert len(set.union(*seen.values())) == 13
    sizes = {name: len(frame) for name, frame in frames.items()}
    assert sum(sizes.values()) == 100
    assert 30 <= sizes["test"] < 38
    assert 20 <= sizes["validation"] < 28


def test_a_share_may_stand_beside_a_file(small: dict[str, Any], folder: Path) -> None:
    files = {"train": written("a.csv", ROWS), "test": written("b.csv", ROWS[:5])}
    frames = prepared(planned(small, files=files, split={"validation": 0.1}), folder / "prepared")
    assert {name: len(frame) for name, frame in frames.items()} == {
        "train": 18,
        "validation": 2,
        "test": 4,
    }


# what is refused ----------------------------------------------------------------------------------

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
        ["files.train: a.csv, line 3: byte 0xe9 is no UTF-8; allowed: a file in UTF-8"],
    ),
    "utf-16": (GOOD.encode("utf-16"), ["files.train: a.csv, line 1: byte 0xff is no UTF-8"]),
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
        ("a.parquet", "no parquet", ["files.train: a.parquet: no parquet: "]),
        ("a.xlsx", "PK", ["files.train: a.xlsx: allowed endings: .csv, .tsv, .jsonl, .parquet"]),
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
        ["columns.", "label"],
    ),
    "a wrong kind": ({"files": "a.csv", "kind": "image"}, ['kind: "image" is not allowed']),
    "a registered task": (
        {"files": "a.csv", "task": "glue"},
        ["columns: this key is not for a registered task"],
    ),
    "a source": (
        {"files": "a.csv", "source": {"uri": "path:."}},
        ["source: this key is for a registered task"],
    ),
    "no list": ({"files": ["a.csv", "b.csv"]}, ["files: "]),
}


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_a_bad_entry_is_named(small: dict[str, Any], problems: Problems, name: str) -> None:
    entry, fragments = BAD_ENTRIES[name]
    written("a.csv", ROWS)
    written("b.csv", ROWS[:5])
    written("c.csv", ROWS[:6])
    lines = problems(own(small, **entry))
    assert lines[0].startswith(f"tasks.own.{fragments[0]}"), lines
    assert all(fragment in lines[0] for fragment in fragments), lines
    assert len(lines) == 1 + (name == "a wrong column key"), lines


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
        "line 24 (3 in all); allowed: numbers, with a point"
    ]
