"""Data sets of the Hub that hold pictures and recordings as files, held against `datasets`."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest
import yaml

from finegrid.cli.first_benchmark import write_benchmark
from finegrid.planning.benchmark import load_content, read_benchmark
from finegrid.planning.guess import Options
from finegrid.planning.lock import Lock, lock_file
from finegrid.planning.locking import make_lock
from finegrid.planning.plan import make_plan
from finegrid.prepare.examined import Examiner
from finegrid.prepare.sources import SourceError
from finegrid.prepare.task import read_task
from finegrid.problems import ConfigurationError
from finegrid.records.specification import Task
from tests.models.pictures import write_vit
from tests.planning.own_folders.public_sets import lines, picture, recording, write
from tests.prepare.hub_server import Hub, Repository, connect, serving

NAME = "owner/pets"
Files = Mapping[str, bytes]
Examples = dict[str, list[tuple[bytes, str]]]
"""Split -> the bytes and the label of each example, in the order of the bytes."""


def zipped(files: Files) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files: Files) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def labelled(end: str, start: int, above: str = "") -> dict[str, bytes]:
    """Two files of each of two labels."""
    make = picture if end == "jpg" else recording
    return {
        f"{above}{label}/{start + at}.{end}": make(start + 2 * at + number)
        for number, label in enumerate(("cat", "dog"))
        for at in (0, 1)
    }


def told(start: int, above: str = "") -> dict[str, bytes]:
    """Four files with metadata beside them."""
    files = {f"{above}{start + at}.jpg": picture(start + at) for at in range(4)}
    rows = (f"{start + at}.jpg,{('cat', 'dog')[at % 2]}" for at in range(4))
    return files | {f"{above}metadata.csv": lines(["file_name,label", *rows]).encode()}


OUTER = {"README.md": b"a card", ".gitattributes": b"*.zip filter=lfs"}
SPLITS = {"train": 0, "validation": 10, "test": 20}
Part = Callable[[int, str], dict[str, bytes]]
"""The files of a split, by the number of the first and the folder that they lie in."""
Pack = Callable[[Files], bytes]
SETS: dict[str, tuple[str, Part, str, Pack | None]] = {
    "folders of labels": ("image", partial(labelled, "jpg"), "", None),
    "metadata of each split": ("image", told, "", None),
    "recordings": ("audio", partial(labelled, "wav"), "data/", None),
    "an archive a split": ("image", partial(labelled, "jpg"), "data/{}.zip", zipped),
    "archives with metadata": ("image", told, "{}.zip", zipped),
    "archives of folders": ("audio", partial(labelled, "wav"), "{}.tar.gz", tarred),
}
"""Kind, files, the folder or the archive that they lie in, and what packs them."""


def files_of(name: str) -> dict[str, bytes]:
    """The files of a set as its repository has them."""
    _, part, place, pack = SETS[name]
    if pack is None:
        return plain(name)
    return {place.format(split): pack(part(at, f"{split}/")) for split, at in SPLITS.items()}


def plain(name: str) -> dict[str, bytes]:
    """The same files in folders, without an archive."""
    _, part, place, pack = SETS[name]
    above = "" if pack else place
    parts = [part(at, f"{above}{split}/") for split, at in SPLITS.items()]
    return {file: content for files in parts for file, content in files.items()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.chdir(tmp_path)
    with serving() as hub:
        connect(hub, tmp_path / "cache", monkeypatch)
        yield hub


def benchmark(kind: str, **task: Any) -> Path:
    """One run of a tiny ViT of this machine on a data set of the Hub."""
    entry = {"kind": f"{kind}-classification", "files": f"hub:{NAME}"} | task
    grid = {"tasks": ["pets"], "models": ["vit"]}
    content = {
        "name": "pets",
        "seeds": [0],
        "interval": False,
        "tasks": {"pets": entry},
        "models": {"vit": "path:vit"},
        "training": {"epochs": 1, "batch_size": 2},
        "grids": [grid | {"variants": {"head": {"method": "head", "learning_rate": 0.01}}}],
    }
    path = Path("pets.yaml")
    path.write_text(yaml.safe_dump(content))
    return path


def locked(file: Path) -> Task:
    """The task as `finegrid lock` pins it."""
    content = load_content(file)
    made = make_lock(content | {"models": {}}, Lock())
    made.write(lock_file(file))
    found = made.tasks["pets"]
    return Task(name="pets", task=found.task, source=found.source, options=found.options)


def read(task: Task, kind: str) -> Examples:
    labels: Any = task.options["labels"]
    found: Examples = {}
    for split, rows in read_task(task).frames.items():
        assert isinstance(rows, pa.Table)
        columns = rows.to_pydict()
        pairs = zip(columns[kind], columns["label"], strict=True)
        found[split] = sorted((content, labels[number]) for content, number in pairs)
    return found


@pytest.fixture
def no_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library wants torchcodec to be there before it notes the path of a recording."""
    import datasets  # which looks for it once more

    assert not datasets.config.TORCHCODEC_AVAILABLE
    names = ("torchcodec", "torchcodec.encoders")
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules[names[1]], "AudioEncoder", None, raising=False)


def by_library(kind: str, folder: Path, cache: Path) -> Examples:
    """The same of the library's own reader of such folders.

    Of archives the folders that they unpack to are read: the library labels what lies in a zip by
    the folder of the zip, and reads no tar.
    """
    import datasets

    feature = datasets.Image(decode=False) if kind == "image" else datasets.Audio(decode=False)
    loaded = datasets.load_dataset(f"{kind}folder", data_dir=str(folder), cache_dir=str(cache))
    found: Examples = {}
    for split, rows in loaded.items():
        label = rows.features["label"]
        plain = rows.cast_column(kind, feature)
        pairs = [
            (one[kind]["bytes"] or Path(one[kind]["path"]).read_bytes(), one["label"])
            for one in plain
        ]
        named = isinstance(label, datasets.ClassLabel)
        found[str(split)] = sorted(
            (content, label.int2str(value) if named else value) for content, value in pairs
        )
    return found


@pytest.mark.usefixtures("no_codec")
@pytest.mark.parametrize("name", SETS)
def test_a_folder_of_the_hub_is_read_as_the_library_reads_it(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    kind = SETS[name][0]
    hub.repositories["dataset", NAME] = Repository(OUTER | files_of(name))
    found = read(locked(benchmark(kind)), kind)
    assert {split: len(rows) for split, rows in found.items()} == dict.fromkeys(SPLITS, 4)
    folder = write(tmp_path / "copy", dict(plain(name)))
    assert found == by_library(kind, folder, tmp_path / "library")


def test_what_is_locked_is_planned_and_fetched_at_its_commit(hub: Hub, tmp_path: Path) -> None:
    files = files_of("an archive a split")
    hub.repositories["dataset", NAME] = repository = Repository(
        OUTER | files | {"pets.py": b"raise RuntimeError('run')"}
    )
    write_vit(tmp_path / "vit")
    task = locked(file := benchmark("image"))
    assert not any(path.endswith("pets.py") for _, path, _ in hub.asked)
    hub.asked.clear()
    (run,) = make_plan(read_benchmark(str(file))).runs.values()
    assert hub.asked == []
    assert run.task == task
    assert task.source is not None
    assert task.source.revision == repository.commit
    hub.repositories["dataset", NAME] = Repository(files | {"data/train.zip": b"other"})
    assert {split: len(rows) for split, rows in read(task, "image").items()} == dict.fromkeys(
        SPLITS, 4
    )
    forged = task.source.model_copy(update={"sha256": {"**/": "0" * 64}})
    with pytest.raises(SourceError, match="its content has changed since that hash was taken"):
        read_task(task.model_copy(update={"source": forged}))


def test_a_folder_of_a_repository_and_its_table_are_taken(hub: Hub) -> None:
    files = {f"raw/images/{at}.jpg": picture(at) for at in range(10)}
    rows = (f"{at}.jpg,{('cat', 'dog')[at % 2]},{at // 2}" for at in range(10))
    files |= {"raw/meta.csv": lines(["name,pet,fold", *rows]).encode(), "other/1.jpg": picture(50)}
    hub.repositories["dataset", NAME] = Repository(OUTER | files)
    entry = {
        "files": f"hub:{NAME}/raw",
        "metadata": {"files": "meta.csv", "path": "images/{name}"},
        "columns": {"label": "pet"},
        "split": {"column": "fold", "values": {"validation": 3, "test": 4}},
    }
    found = read(locked(benchmark("image", **entry)), "image")
    assert found["test"] == sorted([(picture(8), "cat"), (picture(9), "dog")])
    assert not any("other" in path for _, path, _ in hub.asked if "/resolve/" in path)


def test_a_benchmark_is_written_on_a_folder_of_the_hub(hub: Hub) -> None:
    hub.repositories["dataset", NAME] = Repository(OUTER | files_of("an archive a split"))
    written = write_benchmark(f"hub:{NAME}", "hub:owner/vit", Options(), None, Examiner())
    (entry,) = load_content(written.file)["tasks"].values()
    assert entry == {"kind": "image-classification", "files": f"hub:{NAME}"}
    assert written.needs_lock


NOTE = {"cat/a.txt": b"text"}
WRONG: dict[str, tuple[dict[str, bytes], str]] = {
    "no archive": ({"data/train.zip": b"text"}, "train.zip: File is not a zip file"),
    "a way out": ({"train.zip": zipped({"../../evil.jpg": picture(1)})}, "the name leads outside"),
    "no picture": (
        {
            "train.zip": zipped(labelled("jpg", 0) | NOTE),
            "test.zip": zipped(labelled("jpg", 9)),
        },
        "no images: train/cat/a.txt (1 in all); allowed: images alone",
    ),
    "a table alone": ({"train.csv": b"a,b\n1,2\n"}, "columns: this key is required"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_is_one_line_when_it_is_locked(hub: Hub, name: str) -> None:
    files, message = WRONG[name]
    hub.repositories["dataset", NAME] = Repository(OUTER | files)
    split = {"validation": 0.5, **({} if "test.zip" in files else {"test": 0.2})}
    with pytest.raises(ConfigurationError) as caught:
        locked(benchmark("image", split=split))
    (line,) = caught.value.problems
    assert line.startswith("tasks.pets.")
    assert message in line
