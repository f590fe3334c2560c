"""Folders of labelled files as people have them: of cameras, Kaggle and the Hub."""

import pytest

from tasks.folder_layout import layout
from tasks.table_files import TableError

LAYOUTS: dict[str, tuple[list[str], set[tuple[str, str, str | None]]]] = {
    "labels alone": (
        ["cat/1.jpg", "dog/1.jpg"],
        {("cat/1.jpg", "train", "cat"), ("dog/1.jpg", "train", "dog")},
    ),
    "splits of labels": (
        ["train/cat/1.jpg", "val/cat/2.jpg", "test/dog/3.jpg"],
        {
            ("train/cat/1.jpg", "train", "cat"),
            ("val/cat/2.jpg", "validation", "cat"),
            ("test/dog/3.jpg", "test", "dog"),
        },
    ),
    "a wrapper, and a document beside it": (
        ["PetImages/Cat/1.jpg", "PetImages/Dog/1.jpg", "readme[1].txt"],
        {("PetImages/Cat/1.jpg", "train", "Cat"), ("PetImages/Dog/1.jpg", "train", "Dog")},
    ),
    "splits that are wrapped twice": (
        [
            *(f"training_set/training_set/{label}/1.jpg" for label in ("cats", "dogs")),
            *(f"test_set/test_set/{label}/1.jpg" for label in ("cats", "dogs")),
        ],
        {
            ("training_set/training_set/cats/1.jpg", "train", "cats"),
            ("training_set/training_set/dogs/1.jpg", "train", "dogs"),
            ("test_set/test_set/cats/1.jpg", "test", "cats"),
            ("test_set/test_set/dogs/1.jpg", "test", "dogs"),
        },
    ),
    "metadata beside all files": (
        ["1.png", "2.png", "metadata.csv"],
        {("1.png", "train", None), ("2.png", "train", None)},
    ),
    "metadata of each split": (
        ["train/1.png", "train/metadata.jsonl", "test/2.png", "test/metadata.jsonl"],
        {("train/1.png", "train", None), ("test/2.png", "test", None)},
    ),
    "metadata of folders below": (
        ["train/cat/1.png", "train/metadata.csv", "validation/cat/2.png"],
        {("train/cat/1.png", "train", "cat"), ("validation/cat/2.png", "validation", "cat")},
    ),
    "a training split alone": (
        ["train/a/1.png", "train/b/1.png"],
        {("train/a/1.png", "train", "a"), ("train/b/1.png", "train", "b")},
    ),
    "labels that are numbers": (
        ["0/1.png", "10/1.png", "2/1.png"],
        {("0/1.png", "train", "0"), ("10/1.png", "train", "10"), ("2/1.png", "train", "2")},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_split_and_label_are_found_by_names(name: str) -> None:
    names, files = LAYOUTS[name]
    assert set(layout(names).files) == files


def test_metadata_and_what_lies_beside_are_told() -> None:
    found = layout(["train/cat/1.png", "train/metadata.csv", "test/cat/2.png", "LICENSE"])
    assert (found.metadata, found.passed_over) == ({"train": "train/metadata.csv"}, ("LICENSE",))
    wrapped = layout(["metadata.csv", "images/a/1.png", "images/b/2.png", "notes.txt"])
    assert (wrapped.metadata, wrapped.passed_over) == ({None: "metadata.csv"}, ("notes.txt",))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["cat/a/1.png", "dog/1.png"], "'cat/a/1.png' lies too deep; allowed: <label>/<file>"),
        (["train/cat/1.png", "more/cat/1.png"], "'more' is no split beside train; allowed: train"),
    ],
)
def test_what_is_no_layout_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(TableError, match="files: ") as raised:
        layout(names)
    assert raised.value.problem.startswith(message)
