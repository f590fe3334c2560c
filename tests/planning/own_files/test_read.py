"""A benchmark on table files of the user's own, without code: what is read of them."""

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.planning.own_files.tables import ROWS, SPLIT, planned, prepared, read, written

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
    "excel's unicode text": ("a.txt", "review\tstars\r\none\t0\r\ntwo\t1\r\n".encode("utf-16")),
    "utf-16 in the other order": (
        "a.csv",
        codecs.BOM_UTF16_BE + "review,stars\none,0\ntwo,1\n".encode("utf-16-be"),
    ),
    "empty values beyond the last column": ("a.csv", "review,stars\none,0,,\ntwo,1,\n"),
    "columns without a name": ("a.csv", "stars,review,,,\n0,one,,,\n1,two,so,,\n"),
    "compressed": ("a.csv.gz", gzip.compress(b"review,stars\none,0\ntwo,1\n")),
    "compressed lines": (
        "a.jsonl.gz",
        gzip.compress(b'{"review": "one", "stars": 0}\n{"review": "two", "stars": 1}'),
    ),
    "a json list": (
        "a.json",
        '[\n {"review": "one", "stars": 0},\n {"stars": "1", "review": "two"}]\n',
    ),
    "lines in a json": ("a.json", '{"review":"one","stars":0}\n{"review":"two","stars":1}\n'),
    "keys that the first object lacks": (
        "a.jsonl",
        '{"stars": 0, "review": "one"}\n{"review": "two", "stars": 1, "more": {}}\n',
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
