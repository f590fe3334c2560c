"""Public data sets whose splits, labels or files stand in lists and tables, without Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from finegrid.planning import own_files
from finegrid.planning.schema import FilesEntry, TaskEntry
from finegrid.prepare.examined import Examiner
from finegrid.prepare.task import read_task
from finegrid.records.specification import Task
from tasks.table_files import TableError
from tests.planning.own_folders import public_sets
from tests.planning.own_folders.public_sets import SPEAKERS, lines, picture, recording, write

IMAGES, SOUNDS = "image-classification", "audio-classification"
Names = dict[str, dict[str, str]]
"""Split -> name of a file -> its label."""


def read(kind: str, files: Path, **entry: Any) -> Names:
    """What the benchmark's entry reads, by the way of a plan and of what prepares it."""
    given = {"kind": kind, "files": str(files), **entry}
    made = own_files.of_files(TaskEntry(**given), Examiner()).entry
    task = Task(name="own", task=str(made.task), source=made.source, options=made.options)
    labels: Any = made.options["labels"]
    found: Names = {}
    for split, rows in read_task(task).frames.items():
        assert isinstance(rows, pa.Table)
        columns = rows.to_pydict()
        named = zip(columns["id"], columns["label"], strict=True)
        found[split] = {name: labels[number] for name, number in named}
    return found


def refused(kind: str, files: Path, **entry: Any) -> str:
    """The one line on an entry that cannot be read."""
    with pytest.raises(TableError) as caught:
        own_files.of_files(
            TaskEntry(kind=kind, files=FilesEntry(path=str(files)), **entry), Examiner()
        )
    return f"{'.'.join(caught.value.key)}: {caught.value.problem}"


COMMANDS: dict[str, Any] = {
    "drop": {"label": ["_background_noise_"]},
    "split": {
        "lists": {"validation": "validation_list.txt", "test": "testing_list.txt"},
        "group_pattern": "([^/]+)_nohash_",
    },
}


def test_speech_commands_have_lists_and_speakers(folder: Path) -> None:
    found = read(SOUNDS, public_sets.speech_commands(folder / "commands"), **COMMANDS)
    of = {"validation": SPEAKERS[2:3], "test": SPEAKERS[3:], "train": SPEAKERS[:2]}
    assert found == {
        split: {
            f"{word}/{speaker}_nohash_{take}.wav": word
            for word in ("bed", "cat")
            for speaker in speakers
            for take in (0, 1)
        }
        for split, speakers in of.items()
    }


def test_noise_is_no_word_and_a_speaker_is_in_one_split(folder: Path) -> None:
    root = public_sets.speech_commands(folder / "commands")
    assert refused(SOUNDS, root, split=COMMANDS["split"]) == (
        "files: the label '_background_noise_' may be no class; allowed: drop: {label: "
        "[_background_noise_]}, or labels with it among them"
    )
    with (root / "testing_list.txt").open("a") as stream:
        stream.write(f"bed/{SPEAKERS[0]}_nohash_0.wav\n")
    assert refused(SOUNDS, root, **COMMANDS) == (
        f"split.group: '{SPEAKERS[0]}' is in test and in train; allowed: each group in one split"
    )


def test_food_101_lists_names_without_suffixes(folder: Path) -> None:
    root = public_sets.food_101(folder / "food")
    split = {"validation": 0.25, "path": "food-101/images/{}.jpg"}
    split["lists"] = {"train": "food-101/meta/train.txt", "test": "food-101/meta/test.txt"}
    found = read(IMAGES, root, split=split)
    foods = ("apple_pie", "baklava")
    assert found["test"] == {
        f"food-101/images/{food}/{number}.jpg": food for food in foods for number in (10058, 10061)
    }
    assert len(found["validation"]) == 2
    rest = found["validation"] | found["train"]
    assert {Path(name).stem for name in rest} == {"10057", "10059", "10060", "10062"}
    assert all(Path(name).parent.name == label for name, label in rest.items())


CUB: dict[str, Any] = {
    "format": {"header": False, "delimiter": " "},
    "metadata": {
        "files": ["images.txt", "train_test_split.txt", "image_class_labels.txt"],
        "key": 0,
        "path": "images/{1}",
    },
}


@pytest.mark.parametrize("columns", [None, {"label": 3}])
def test_cub_200_joins_tables(folder: Path, columns: dict[str, int] | None) -> None:
    root = public_sets.cub_200(folder / "birds")
    split = {"column": 2, "values": {"train": 1, "test": [0]}, "validation": 0.25}
    found = read(IMAGES, root, split=split, columns=columns, **CUB)
    first, second = ("1", "2") if columns else (
        "001.Black_footed_Albatross", "002.Laysan_Albatross",
    )  # fmt: skip
    assert found["test"] == {
        "images/001.Black_footed_Albatross/Black_footed_Albatross_0004_800.jpg": first,
        "images/002.Laysan_Albatross/Laysan_Albatross_0004_800.jpg": second,
    }
    assert len(found["validation"]) == 2
    assert len(found["train"]) == 6


def test_esc_50_has_folds_and_sources(folder: Path) -> None:
    root = public_sets.esc_50(folder / "ESC-50-master")
    split = {"column": "fold", "values": {"validation": [4], "test": [5]}, "group": "src_file"}
    entry = {
        "metadata": {"files": "meta/esc50.csv", "path": "audio/{filename}"},
        "columns": {"label": "category"},
    }
    found = read(SOUNDS, root, split=split, **entry)
    for name, label in (found["train"] | found["validation"] | found["test"]).items():
        assert label == ("dog", "rooster")[int(Path(name).stem.split("-")[-1])]
    folds = {split: {Path(name).name[0] for name in named} for split, named in found.items()}
    assert folds == {"train": {"1", "2", "3"}, "validation": {"4"}, "test": {"5"}}
    named = {"metadata": "meta/esc50.csv", "columns": {"audio": "filename"}}
    assert refused(SOUNDS, root, split=split, **named).startswith(
        "metadata: '1-100032-A-0.wav' is no file there, 'audio/1-100032-A-0.wav' is; allowed: "
    )


def test_urban_sound_8k_has_its_folds_in_the_paths(folder: Path) -> None:
    root = public_sets.urban_sound_8k(folder / "UrbanSound8K")
    split = {"column": "fold", "values": {"validation": [9], "test": [10]}, "group": "fsID"}
    path = "audio/fold{fold}/{slice_file_name}"
    metadata = {"files": "metadata/UrbanSound8K.csv", "path": path}
    found = read(SOUNDS, root, split=split, metadata=metadata, columns={"label": "class"})
    assert found["test"] == {
        "audio/fold10/100041-0-0-0.wav": "air_conditioner",
        "audio/fold10/100051-1-0-0.wav": "dog_bark",
    }
    assert {split: len(named) for split, named in found.items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }


def test_a_table_names_files_without_suffixes(folder: Path) -> None:
    root = public_sets.dog_breeds(folder / "dogs")
    entry = {"split": {"validation": 0.2, "test": 0.2}, "columns": {"label": "breed"}}
    metadata = {"files": "labels.csv", "path": "train/{id}.jpg"}
    found = read(IMAGES, root, metadata=metadata, **entry)
    every = found["train"] | found["validation"] | found["test"]
    assert every == {f"train/{at:032x}.jpg": ("boxer", "pug")[at % 2] for at in range(10)}
    assert refused(IMAGES, root / "labels.csv", **entry).startswith(
        f"files: '{root}/labels.csv' is a table; to read the files that it names: files: {root}, "
        "metadata: labels.csv; allowed: a folder on this machine"
    )


def test_a_column_of_metadata_beside_the_files_says_the_split(folder: Path) -> None:
    """As the Hub's folders of images, with one more column."""
    rows = [f"{at}.PNG,{'ab'[at % 2]},{('train', 'val', 'test')[at // 2]}" for at in range(6)]
    files: dict[str, bytes | str] = {f"{at}.PNG": picture(at) for at in range(6)}
    root = write(folder / "own", files | {"metadata.csv": lines(["file_name,label,part", *rows])})
    values = {"train": "train", "validation": "val", "test": "test"}
    found = read(IMAGES, root, split={"column": "part", "values": values})
    assert found == {
        "train": {"0.PNG": "a", "1.PNG": "b"},
        "validation": {"2.PNG": "a", "3.PNG": "b"},
        "test": {"4.PNG": "a", "5.PNG": "b"},
    }


def test_what_no_split_and_no_table_names_is_told(folder: Path) -> None:
    root = public_sets.dog_breeds(folder / "dogs")
    write(root, {"train/more.jpg": picture(50)})
    rows = [f"{at:032x},{('boxer', 'pug')[at % 2]},{at // 2}" for at in range(10)]
    write(root, {"labels.csv": lines(["id,breed,part", *rows])})
    values = {"train": [0, 1], "validation": [2], "test": [3]}
    entry: dict[str, Any] = {
        "metadata": {"files": "labels.csv", "path": "train/{id}.jpg"},
        "columns": {"label": "breed"},
        "split": {"column": "part", "values": values},
    }
    found = own_files.of_files(
        TaskEntry(kind=IMAGES, files=FilesEntry(path=str(root)), **entry), Examiner()
    )
    assert found.counts == {"train": 4, "validation": 2, "test": 2}
    assert found.remarks == (
        f"in no split, by lists or values: train/{8:032x}.jpg, train/{9:032x}.jpg (2 in all)",
        "passed over, for no table or list names them: train/more.jpg (1 in all)",
    )
    made = found.entry
    task = Task(name="own", task=str(made.task), source=made.source, options=made.options)
    assert read_task(task).dropped == {"in no split, by lists or values": 2}


LISTS = {"validation": "val.txt", "test": "test.txt"}
DOGS: dict[str, Any] = {
    "metadata": {"files": "labels.csv", "path": "train/{id}.jpg"},
    "columns": {"label": "breed"},
    "split": {"validation": 0.2, "test": 0.2},
}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no list": (
        {"metadata": None, "split": {"lists": LISTS}},
        "split.lists.validation: no file 'val.txt' in ",
    ),
    "a list of something else": (
        {"split": {"lists": LISTS | {"validation": "labels.csv"}}},
        "split.lists.validation: labels.csv, line 1: 'id,breed' is no file there; allowed: names",
    ),
    "no table": ({"metadata": "gone.csv"}, "metadata: no file 'gone.csv' in "),
    "no such column of names": (
        {"metadata": {"files": "labels.csv", "path": "train/{name}.jpg"}},
        "metadata.path: no column 'name' in labels.csv; allowed: 'id', 'breed'",
    ),
    "no such column of labels": (
        {"columns": {"label": "kind"}},
        "columns.label: no column 'kind' in labels.csv; allowed: 'id', 'breed'",
    ),
    "no such column of splits": (
        {"split": {"column": "fold", "values": {"validation": 1, "test": 2}}},
        "split.column: no column 'fold' in labels.csv; allowed: 'id', 'breed'",
    ),
    "no such value": (
        {"split": {"column": "breed", "values": {"validation": "cat", "test": "pug"}}},
        "split.values.validation: no row of column 'breed' has 'cat'; allowed: 'boxer', 'pug'",
    ),
    "another suffix": (
        {"metadata": {"files": "labels.csv", "path": "train/{id}.JPG"}},
        f"metadata: 'train/{0:032x}.JPG' is no file there, 'train/{0:032x}.jpg' is; allowed: ",
    ),
    "no column in the path": (
        {"metadata": {"files": "labels.csv", "path": "train/id.jpg"}},
        "metadata.path: 'train/id.jpg' names no column; allowed: columns of the tables in braces",
    ),
    "a path of Python's": (
        {"metadata": {"files": "labels.csv", "path": "train/{id!r}.jpg"}},
        "metadata.path: 'train/{id!r}.jpg' is not allowed; allowed: columns of the tables in ",
    ),
    "an unknown column": (
        {"columns": {"lable": "breed"}},
        "columns.lable: unknown key 'lable': did you mean 'label'?",
    ),
    "a column without a table": (
        {"metadata": None, "columns": {"image": "id"}},
        "columns.image: no table is named that has 'id'; allowed: beside metadata, which names",
    ),
    "a pattern that matches nothing": (
        {"split": DOGS["split"] | {"group_pattern": "x(.*)x"}},
        f"split.group_pattern: no group for train/{0:032x}.jpg, ",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(folder: Path, name: str) -> None:
    change, message = MISTAKES[name]
    root = public_sets.dog_breeds(folder / "dogs")
    assert refused(IMAGES, root, **DOGS | change).startswith(message)


TABLES: dict[str, tuple[list[str], str]] = {
    "twice": (
        [f"{1:032x},pug"],
        f"metadata: labels.csv, line 12: 'train/{1:032x}.jpg' is named tw",
    ),
    "outside": (["../../secret,pug"], "metadata: 'train/../../secret.jpg' is no file there; "),
    "no label": ([f"{10:032x},"], "files: no label for "),
    "no name": ([",pug"], "metadata: labels.csv, line 12: no name of a file; allowed: one in each"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_row_that_names_no_file_is_one_line(folder: Path, name: str) -> None:
    rows, message = TABLES[name]
    root = public_sets.dog_breeds(folder / "dogs")
    write(root, {f"train/{10:032x}.jpg": picture(60), "secret.jpg": picture(61)})
    with (root / "labels.csv").open("a") as stream:
        stream.write(lines(rows))
    assert refused(IMAGES, root, **DOGS).startswith(message)


SPLITS: dict[str, tuple[dict[str, Any], str]] = {
    "values alone": ({"values": {"test": 1}}, "column: this key is required beside values"),
    "a column alone": ({"column": "fold"}, "values: this key is required beside column"),
    "a share beside a list": (
        {"test": 0.1, "lists": {"test": "a.txt"}},
        "test: lists or values name it too; allowed: one of the two",
    ),
    "a path without lists": ({"path": "a/{}.jpg"}, "path: 'a/{}.jpg' is not allowed; allowed: on"),
    "two groups": ({"group": "a", "group_pattern": "b"}, "group_pattern: group is there too; "),
    "a value twice": (
        {"column": "fold", "values": {"validation": [1, 2], "test": [2]}},
        "values: '2' stands twice; allowed: once, in one split",
    ),
    "no pattern": ({"group_pattern": "("}, "missing ), unterminated subpattern at position 0; all"),
}


@pytest.mark.parametrize("name", SPLITS)
def test_what_does_not_go_together_is_said(name: str) -> None:
    split, message = SPLITS[name]
    with pytest.raises(ValueError, match=r"1 validation error") as caught:
        TaskEntry.model_validate({"kind": IMAGES, "files": "a/", "split": split})
    assert message in str(caught.value)


def test_a_key_joins_rows_that_each_table_has_once(folder: Path) -> None:
    root = public_sets.cub_200(folder / "birds")
    split = {"column": 2, "values": {"test": 0}, "validation": 0.25}
    (root / "train_test_split.txt").write_text("1 1\n2 0\n")
    assert refused(IMAGES, root, split=split, **CUB) == (
        "metadata.key: train_test_split.txt has no row of 0 '3'; allowed: one for each row of the "
        "first table"
    )
    (root / "train_test_split.txt").write_text("1 1\n1 0\n")
    assert refused(IMAGES, root, split=split, **CUB).startswith(
        "metadata.key: train_test_split.txt, line 2: 0 is '1' again; allowed: once in each table"
    )


def spoil_nothing(root: Path) -> None:
    """What cameras and file managers leave changes nothing."""
    left = (".DS_Store", "bed/Thumbs.db", ".cache/a.wav", "__MACOSX/bed/._a.wav")
    write(root, dict.fromkeys(left, "x"))
    (root / "bed" / "loader.py").write_text("1 / 0")
    name = f"cat/{SPEAKERS[0]}_nohash_0.wav"
    (root / name).rename(root / f"{name[:-4]}.WAV")


def spoil_empty(root: Path) -> None:
    (root / f"cat/{SPEAKERS[0]}_nohash_0.wav").write_bytes(b"")


def spoil_link(root: Path) -> None:
    (root / "cat" / f"{SPEAKERS[0]}_nohash_7.wav").symlink_to("/gone/far.wav")


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (
        spoil_empty,
        f"files: no audio: cat/{SPEAKERS[0]}_nohash_0.wav (1 in all); allowed: ",
    ),
    "a link": (spoil_link, f"files: {{root}}/cat/{SPEAKERS[0]}_nohash_7.wav cannot be read: No su"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_file_that_cannot_be_read_is_one_line(folder: Path, name: str) -> None:
    spoil, message = SPOILT[name]
    root = public_sets.speech_commands(folder / "commands")
    spoil(root)
    assert refused(SOUNDS, root, **COMMANDS).startswith(message.format(root=root))


def test_what_is_left_behind_is_no_example(folder: Path) -> None:
    root = public_sets.speech_commands(folder / "commands")
    before = read(SOUNDS, root, **COMMANDS)
    spoil_nothing(root)
    found = read(SOUNDS, root, **COMMANDS)
    assert {split: len(names) for split, names in found.items()} == {
        split: len(names) for split, names in before.items()
    }
    assert f"cat/{SPEAKERS[0]}_nohash_0.WAV" in found["train"]


def test_a_link_is_followed_wherever_it_leads(folder: Path) -> None:
    """What lies at a path is the user's own."""
    root = public_sets.speech_commands(folder / "commands")
    write(folder / "elsewhere", {"far.wav": recording(90)})
    link = f"cat/{SPEAKERS[0]}_nohash_7.wav"
    (root / link).symlink_to(folder / "elsewhere" / "far.wav")
    assert read(SOUNDS, root, **COMMANDS)["train"][link] == "cat"
