"""Folders as people have them: splits by the names of files, shards, texts by label."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finegrid.planning.layouts import table_layout, text_layout
from tasks.table_files import TableError
from tests.planning.own_files.tables import ROWS, SPLIT, Problems, own, planned, prepared, written

LAYOUTS: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "plain": (
        ["README.md", "test.csv", "train.csv", "validation.csv"],
        {"train": ["train.csv"], "validation": ["validation.csv"], "test": ["test.csv"]},
    ),
    "dev": (["dev.tsv", "train.tsv"], {"train": ["train.tsv"], "validation": ["dev.tsv"]}),
    "val and a word before": (
        ["imdb_train.jsonl", "imdb_val.jsonl"],
        {"train": ["imdb_train.jsonl"], "validation": ["imdb_val.jsonl"]},
    ),
    "shards of the Hub": (
        ["data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet"],
        {"train": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]},
    ),
    "a folder a split": (
        ["train/0000.parquet", "train/0001.parquet", "valid/0000.parquet"],
        {
            "train": ["train/0000.parquet", "train/0001.parquet"],
            "validation": ["valid/0000.parquet"],
        },
    ),
    "the only configuration": (
        [
            "plain_text/train-00000-of-00001.parquet",
            "plain_text/unsupervised-00000-of-00001.parquet",
        ],
        {"train": ["plain_text/train-00000-of-00001.parquet"]},
    ),
    "the folder itself before those below": (
        ["raw/train.csv", "test.csv", "train.csv"],
        {"train": ["train.csv"], "test": ["test.csv"]},
    ),
    "one table": (["notes.md", "reviews.csv"], {"train": ["reviews.csv"]}),
    "compressed": (["train.csv.gz"], {"train": ["train.csv.gz"]}),
    "a word that is no word": (["training.csv", "latest.csv"], {"train": ["training.csv"]}),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_splits_are_found_by_names(name: str) -> None:
    names, splits = LAYOUTS[name]
    assert {split: list(files) for split, files in table_layout(names).items()} == splits


def test_a_configuration_is_chosen_by_its_path() -> None:
    names = ["cola/train.parquet", "sst2/train.parquet", "sst2/test.parquet"]
    assert table_layout(names, "sst2") == {
        "train": ("sst2/train.parquet",),
        "test": ("sst2/test.parquet",),
    }


@pytest.mark.parametrize(
    ("names", "group", "message"),
    [
        (["cola/train.csv", "sst2/train.csv"], None, "several data sets; allowed: one of 'cola', "),
        (["cola/train.csv"], "mrpc", "no 'mrpc' below it; allowed: one of 'cola'"),
        (["train.csv"], "mrpc", "no 'mrpc' below it; allowed: nothing after its name"),
        (
            ["a.csv", "b.csv"],
            None,
            "no training file among 'a.csv', 'b.csv'; allowed: train, validation",
        ),
        (["test.csv", "b.csv"], None, "no training file among 'test.csv', 'b.csv'; allowed"),
        (["README.md"], None, "no training file among no table file; allowed"),
        (
            ["train.csv", "validation_matched.csv", "validation_mismatched.csv"],
            None,
            "validation may be any of 'validation_matched.csv', 'validation_mismatched.csv'",
        ),
        (["train.csv", "train.parquet"], None, "train may be any of 'train.csv', 'train.parquet'"),
        (
            ["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"],
            None,
            "train has 2 shards, 'train-00000-of-00003.parquet', 'train-00002-of-00003.parquet'; "
            "allowed: all 3",
        ),
    ],
)
def test_what_names_do_not_tell_is_asked_for(
    names: list[str], group: str | None, message: str
) -> None:
    with pytest.raises(TableError) as caught:
        table_layout(names, group)
    assert caught.value.problem.startswith(message)
    assert caught.value.key == ("files",)


def test_texts_in_folders_of_their_labels_are_a_layout() -> None:
    """As aclImdb has them, with tables of another kind beside them."""
    names = [f"{split}/{label}/{n}_9.txt" for split in ("train", "test") for label in ("neg", "pos")
             for n in range(3)]  # fmt: skip
    names += ["README", "imdb.vocab", "train/labeledBow.feat", "train/urls_neg.txt"]
    both = {
        "train": ("train/neg/", "train/pos/"),
        "test": ("test/neg/", "test/pos/"),
    }
    assert text_layout(names) == both
    more = [*names, "train/unsup/0_0.txt"]
    with pytest.raises(TableError, match=r"'unsup'; allowed: .* drop: {label: \['unsup'\]}"):
        text_layout(more)
    assert text_layout(more, ["unsup"]) == both
    assert text_layout(["ham/1.txt", "spam/2.txt"]) == {"train": ("ham/", "spam/")}
    assert text_layout(["train.txt", "test.txt"]) is None


def test_a_folder_of_shards_is_a_task(small: dict[str, Any], folder: Path) -> None:
    frame = pd.DataFrame(ROWS[1:], columns=ROWS[0])
    Path("data").mkdir()
    frame[:12].to_parquet("data/train-00000-of-00002.parquet")
    frame[12:].to_parquet("data/train-00001-of-00002.parquet")
    written("data/dev.csv", [*ROWS[:7]])
    written("data/.cache/train.csv", "no table")
    task = planned(small, files="data", split={"test": 0.2})
    frames = prepared(task, folder / "prepared")
    assert {name: len(rows) for name, rows in frames.items()} == {
        "train": 16,
        "validation": 6,
        "test": 4,
    }
    ids = {row for name in ("train", "test") for row in frames[name]["id"]}
    assert ids == {f"train-{n}" for n in range(1, 21)}
    assert task.source is not None
    assert set(task.source.sha256) == {
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
        "dev.csv",
    }


def test_a_split_that_is_held_out_is_not_read_of_the_folder(
    small: dict[str, Any], folder: Path
) -> None:
    """Test splits without labels, as those of GLUE are."""
    written("data/train.csv", ROWS)
    written("data/test.csv", [ROWS[0], ["no label", "-1"]])
    frames = prepared(planned(small, files="data/", split=SPLIT), folder / "prepared")
    assert {name: len(rows) for name, rows in frames.items()} == {
        "train": 10,
        "validation": 4,
        "test": 6,
    }


def test_folders_of_texts_are_a_task_by_their_content(
    small: dict[str, Any], folder: Path, problems: Problems
) -> None:
    for split, label in (("train", "pos"), ("train", "neg"), ("test", "pos"), ("test", "neg")):
        for n in range(6):
            written(f"aclImdb/{split}/{label}/{n}.txt", f"{split} {label}\n{n} größer")
    content = {"files": "aclImdb", "columns": None, "split": {"validation": 0.25}}
    task = planned(small, **content)
    frames = prepared(task, folder / "prepared")
    assert {name: len(rows) for name, rows in frames.items()} == {
        "train": 9,
        "validation": 3,
        "test": 12,
    }
    texts = {
        (text, label) for text, label in frames["test"][["text", "label"]].itertuples(index=False)
    }
    assert ("test pos\n3 größer", "pos") in texts
    assert task.source is not None
    assert len(task.source.sha256) == 4, "a hash a folder, whatever it holds"
    written("aclImdb/train/pos/0.txt", "another text")
    assert planned(small, **content).key != task.key
    with pytest.raises(Exception, match="pos/ has sha256"):
        prepared(task, folder / "again")
    written("aclImdb/train/pos/1.txt", "größer".encode("latin-1"))
    assert problems(own(small, **content)) == [
        "tasks.own.files.train: pos/1.txt is no UTF-8; allowed: a file in UTF-8"
    ]


def test_a_hundred_thousand_rows_are_planned(small: dict[str, Any]) -> None:
    rows = "".join(f"a text,{n % 5}\n" for n in range(100_000))
    task = planned(small, files=written("a.csv", f"review,stars\n{rows}"), split=SPLIT)
    assert task.options["labels"] == ["0", "1", "2", "3", "4"]
