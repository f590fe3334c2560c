"""A folder of pictures from the benchmark to the prepared task."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.task import prepare_task
from finegrid.records.identity import shown_files, tree_sha256
from finegrid.records.prepared import PreparedTask
from finegrid.records.specification import Source, Specification
from tests.models.pictures import drawn, encoded, write_photos, write_vit

Problems = Callable[[Any], list[str]]
SPLIT = {"validation": 0.2, "test": 0.2}
PICTURE = encoded(drawn(0))


def benchmark(model: str = "path:vit", **task: Any) -> dict[str, Any]:
    """One run of a tiny ViT on a folder of photos."""
    entry = {"kind": "image-classification", "files": "photos/", "split": SPLIT} | task
    variant = {"method": "head", "learning_rate": 0.01}
    return {
        "name": "photos",
        "seeds": [0],
        "interval": False,
        "tasks": {"photos": {key: one for key, one in entry.items() if one is not None}},
        "models": {"vit": model},
        "training": {"epochs": 1, "batch_size": 8},
        "grids": [{"tasks": ["photos"], "models": ["vit"], "variants": {"head": variant}}],
    }


@pytest.fixture
def vit(folder: Path) -> Path:
    return write_vit(folder / "vit")


@pytest.fixture
def photos(folder: Path) -> Path:
    return write_photos(folder / "photos")


def planned(**task: Any) -> Specification:
    (run,) = make_plan(parse_benchmark(benchmark(**task))).runs.values()
    return run


def prepared(folder: Path, **task: Any) -> tuple[PreparedTask, dict[str, list[str]]]:
    """The manifest, and the names of the files of each split."""
    spec = planned(**task)
    manifest = prepare_task(spec.task, folder / "prepared")
    read = {
        name: pd.read_parquet(folder / "prepared" / f"{name}.parquet") for name in manifest.splits
    }
    return manifest, {name: frame["id"].tolist() for name, frame in read.items()}


def test_a_folder_of_labels_is_split_in_proportion(vit: Path, photos: Path, folder: Path) -> None:
    (photos / "cat" / "Thumbs.db").write_bytes(b"left")
    (photos / ".DS_Store").write_bytes(b"left")
    (photos / "LICENSE").write_text("free")
    manifest, files = prepared(folder)
    assert manifest.labels == ("cat", "dog")
    assert {name: split.label_counts for name, split in manifest.splits.items()} == {
        "train": {"cat": 6, "dog": 6},
        "validation": {"cat": 2, "dog": 2},
        "test": {"cat": 2, "dog": 2},
    }
    names = [name for split in files.values() for name in split]
    assert sorted(names) == sorted(
        f"{label}/{n}.jpg" for label in ("cat", "dog") for n in range(10)
    )
    frame = pd.read_parquet(folder / "prepared" / "test.parquet")
    assert frame["image"][0] == (photos / frame["id"][0]).read_bytes()


def test_an_edited_file_is_other_data_and_a_hidden_one_is_not(vit: Path, photos: Path) -> None:
    before = planned().run
    (photos / ".cache").write_text("x")
    assert planned().run == before
    (photos / "cat" / "0.jpg").write_bytes(PICTURE)
    assert planned().run != before


def test_a_file_that_changes_after_the_plan_is_refused(
    vit: Path, photos: Path, folder: Path
) -> None:
    spec = planned()
    (photos / "cat" / "0.jpg").write_bytes(PICTURE)
    with pytest.raises(Exception, match="has changed since that hash was taken"):
        prepare_task(spec.task, folder / "prepared")


def test_metadata_give_labels_and_groups(vit: Path, folder: Path) -> None:
    """As the Hub's folders of images: a group is never in two splits."""
    files = {f"{n}.png": encoded(drawn(n)) for n in range(30)}
    root = write_photos(folder / "photos", files)
    rows = [f"{n}.png,{'ab'[n % 2]},p{n % 10}" for n in range(30)]
    (root / "metadata.csv").write_text("\n".join(["file_name,kind,patient", *rows]))
    split = SPLIT | {"group": "patient"}
    manifest, names = prepared(folder, columns={"label": "kind"}, split=split)
    assert manifest.labels == ("a", "b")
    groups = {name: {int(Path(one).stem) % 10 for one in found} for name, found in names.items()}
    assert sum(map(len, groups.values())) == 10
    assert set.union(*groups.values()) == set(range(10))


def test_splits_of_labels_are_taken_as_they_are(vit: Path, folder: Path) -> None:
    at = {"train": "train", "valid": "validation", "test": "test"}
    files = {
        f"{split}/{label}/{n}.png": encoded(drawn(10 * n + len(split) + len(label)))
        for split in at
        for label in ("no", "yes")
        for n in range(2)
    }
    write_photos(folder / "photos", files)
    _, names = prepared(folder, split=None)
    for split, name in at.items():
        assert names[name] == [
            f"{split}/{label}/{n}.png" for label in ("no", "yes") for n in (0, 1)
        ]


def test_files_and_labels_are_dropped_that_the_benchmark_names(
    vit: Path, photos: Path, folder: Path
) -> None:
    (photos / "dog" / "notes.txt").write_text("no picture")
    (photos / "unknown").mkdir()
    shutil.copy(photos / "cat" / "0.jpg", photos / "unknown" / "0.jpg")
    drop = {"image": ["dog/notes.txt", "cat/9.jpg"], "label": ["unknown"]}
    manifest, names = prepared(folder, drop=drop)
    assert manifest.labels == ("cat", "dog")
    assert sum(map(len, names.values())) == 19


def broken(photos: Path) -> None:
    (photos / "dog" / "notes.txt").write_text("no picture")


def empty(photos: Path) -> None:
    (photos / "bird").mkdir()
    (photos / "bird" / "Thumbs.db").write_bytes(b"left")
    (photos / ".git" / "refs").mkdir(parents=True)


def alone(photos: Path) -> None:
    shutil.rmtree(photos / "dog")


def cased(photos: Path) -> None:
    shutil.copytree(photos / "cat", photos / "Cat")


def flat(photos: Path) -> None:
    for path in list(photos.glob("*/*")):
        path.rename(photos / f"{path.parent.name}.{path.name}")
    for label in ("cat", "dog"):
        (photos / label).rmdir()


def gone(photos: Path) -> None:
    (photos / "metadata.csv").write_text("file_name,label\ngone.png,cat\n")


MISTAKES: dict[str, tuple[Callable[[Path], None], dict[str, Any], str]] = {
    "no picture": (broken, {}, "files: no images: dog/notes.txt (1 in all); allowed: images alone"),
    "an empty folder": (empty, {}, "files: bird (1 in all): empty; allowed: 1 file or more"),
    "one class": (alone, {}, "files: all files are 'cat'; allowed: 2 labels or more"),
    "case": (cased, {}, "files: the labels 'Cat' and 'cat' differ in case alone; allowed: one"),
    "no labels": (flat, {}, "files: no label for cat.0.jpg, cat.1.jpg, "),
    "no such file": (gone, {}, "files: metadata names gone.png (1 in all); allowed: names of fi"),
    "no test": (
        lambda photos: None,
        {"split": {"validation": 0.2}},
        "files: no files for test; allowed: a folder of that name, or a share: split: {test: 0.1}",
    ),
    "nothing to drop": (
        lambda photos: None,
        {"drop": {"image": ["cat/77.jpg"]}},
        "drop.image: no file has 'cat/77.jpg'; allowed: what some have",
    ),
    "another key to drop": (
        lambda photos: None,
        {"drop": {"text": ["x"]}},
        "drop.text: no such key; allowed: image, label",
    ),
    "no folder": (lambda photos: None, {"files": "pictures"}, "files: 'pictures' does not exist "),
    "the Hub": (
        lambda photos: None,
        {"files": "photos/cat/0.jpg"},
        "files: 'photos/cat/0.jpg' is ",
    ),
    "files by splits": (
        lambda photos: None,
        {"files": {"train": "a.csv"}},
        "files.train: 'a.csv' does not exist in ",
    ),
    "a metric of numbers": (
        lambda photos: None,
        {"metrics": ["mse"]},
        "metrics: \"mse\" is not allowed; kind 'image-classification' has classes; allowed: ",
    ),
    "no group": (
        lambda photos: None,
        {"split": SPLIT | {"group": "patient"}},
        "split.group: no group for cat/0.jpg, ",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_before_any_job(
    name: str, vit: Path, photos: Path, problems: Problems
) -> None:
    spoil, task, message = MISTAKES[name]
    spoil(photos)
    (line,) = problems(benchmark(**task))
    assert line.startswith(f"tasks.photos.{message}"), line


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_truncated_file_is_named_before_any_job(
    vit: Path, photos: Path, problems: Problems
) -> None:
    cut(photos / "cat" / "3.jpg")
    (line,) = problems(benchmark())
    assert line.startswith("tasks.photos.files: 1 images: cat/3.jpg: no whole picture: ")
    assert line.endswith("or drop: {image: [...]} with these names")
    assert make_plan(parse_benchmark(benchmark(drop={"image": ["cat/3.jpg"]}))).runs


def test_a_task_that_is_locked_is_checked_when_it_is_prepared(
    vit: Path, photos: Path, folder: Path
) -> None:
    """Its files are not looked at in planning, as their hashes are known."""
    task = planned().task
    cut(photos / "cat" / "3.jpg")
    hashes = {"**/": tree_sha256(photos, shown_files(photos))}
    source = Source(uri="path:photos/", sha256=hashes)
    with pytest.raises(ValueError, match=r"1 images: cat/3\.jpg: no whole picture"):
        prepare_task(task.model_copy(update={"source": source}), folder / "prepared")
