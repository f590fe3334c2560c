"""Pictures and recordings in the columns of parquet, as the datasets library writes them."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finegrid.cli.first_benchmark import write_benchmark
from finegrid.planning.benchmark import load_content, parse_benchmark
from finegrid.planning.guess import Options
from finegrid.planning.lock import Lock, written_out
from finegrid.planning.locking import make_lock
from finegrid.planning.plan import make_plan
from finegrid.prepare.examined import Examiner
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Specification
from tests.models.pictures import coloured, write_vit
from tests.models.pictures import encoded as picture
from tests.models.sounds import SOUNDS, tone
from tests.models.sounds import encoded as sound
from tests.planning.own_folders import test_read, test_sounds
from tests.prepare.hub_server import Repository, connect, serving

Problems = Callable[[Any], list[str]]
COLOURS = [(200, 60, 60), (60, 60, 200)]
SPLIT = {"validation": 0.2, "test": 0.2}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a model of pictures and one of sounds."""
    monkeypatch.chdir(tmp_path)
    write_vit(tmp_path / "vit")
    SOUNDS["wav2vec2"].write(tmp_path / "sounds")
    return tmp_path


def pictures(count: int = 20) -> list[bytes]:
    return [picture(coloured(COLOURS[n % 2], n), "JPEG") for n in range(count)]


def sounds(count: int = 20) -> list[bytes]:
    return [sound(tone((150, 800)[n % 2], 0.2 + n / 50, seed=n)) for n in range(count)]


def write(path: Path, column: str, kind: str, contents: Sequence[bytes | None]) -> None:
    """A file as `datasets.Dataset.to_parquet` writes it, with the features beside the schema."""
    files = [{"bytes": one, "path": f"{n}.bin"} for n, one in enumerate(contents)]
    stored = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {
        column: {"_type": kind},
        "label": {"names": ["red", "blue"], "_type": "ClassLabel"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([(column, stored), ("label", pa.int64())], metadata=metadata)
    labels = [n % 2 for n in range(len(contents))]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({column: files, "label": labels}, schema), path)


def planned(content: dict[str, Any]) -> Specification:
    (run,) = make_plan(parse_benchmark(content)).runs.values()
    return run


def of_pictures(**task: Any) -> dict[str, Any]:
    columns = {"image": "picture", "label": "label"}
    return test_read.benchmark(**({"files": "data.parquet", "columns": columns} | task))


def of_sounds(**task: Any) -> dict[str, Any]:
    columns = {"audio": "audio", "label": "label"}
    return test_sounds.benchmark(**({"files": "data.parquet", "columns": columns} | task))


def test_pictures_are_read_of_a_column_with_their_class_names(folder: Path) -> None:
    contents = pictures()
    write(folder / "data.parquet", "picture", "Image", contents)
    manifest = prepare_task(planned(of_pictures()).task, folder / "prepared")
    assert manifest.labels == ("red", "blue")
    rows = pq.read_table(folder / "prepared" / "test.parquet").to_pylist()
    assert [row["image"] for row in rows] == [
        contents[int(row["id"].partition("-")[2]) - 1] for row in rows
    ]
    assert {name: split.label_counts for name, split in manifest.splits.items()} == {
        "train": {"red": 6, "blue": 6},
        "validation": {"red": 2, "blue": 2},
        "test": {"red": 2, "blue": 2},
    }


def test_recordings_are_read_of_the_shards_of_a_folder(folder: Path) -> None:
    contents = sounds(24)
    for number, start in enumerate((0, 8)):
        shard = folder / "clips" / "data" / f"train-0000{number}-of-00002.parquet"
        write(shard, "audio", "Audio", contents[start : start + 8])
    for name, start in (("validation", 16), ("test", 20)):
        path = folder / "clips" / "data" / f"{name}-00000-of-00001.parquet"
        write(path, "audio", "Audio", contents[start : start + 4])
    spec = planned(of_sounds(files="clips/", split=None))
    manifest = prepare_task(spec.task, folder / "prepared")
    assert {name: split.n for name, split in manifest.splits.items()} == {
        "train": 16,
        "validation": 4,
        "test": 4,
    }


def test_a_file_that_was_cut_off_is_named_by_its_row(folder: Path, problems: Problems) -> None:
    contents = sounds()
    write(
        folder / "data.parquet", "audio", "Audio", [*contents[:3], contents[3][:999], *contents[4:]]
    )
    (line,) = problems(of_sounds())
    assert line.startswith("tasks.clips.files: 1 recordings: train-4: cut off: ")
    manifest = prepare_task(
        planned(of_sounds(drop={"audio": ["train-4"]})).task, folder / "prepared"
    )
    assert sum(split.n for split in manifest.splits.values()) == 19


def test_a_row_without_its_bytes_is_refused(folder: Path, problems: Problems) -> None:
    write(folder / "data.parquet", "audio", "Audio", [*sounds(), None, None])
    (line,) = problems(of_sounds())
    assert line == (
        "tasks.clips.columns.audio: data.parquet, column 'audio': blank or wrong in row 21, row 22 "
        "(2 in all); allowed: the bytes of a file, as the datasets library keeps them in parquet"
    )


@pytest.mark.parametrize(
    ("column", "kind", "model", "found"),
    [
        ("image", "Image", "vit", "image-classification, for image holds images"),
        ("audio", "Audio", "sounds", "audio-classification, for audio holds audio"),
    ],
)
def test_init_finds_what_a_column_holds(
    folder: Path, column: str, kind: str, model: str, found: str
) -> None:
    contents = pictures() if column == "image" else sounds()
    write(folder / "data.parquet", column, kind, contents)
    written = write_benchmark("data.parquet", model, Options(), None, Examiner())
    assert found in written.reasons
    assert make_plan(parse_benchmark(load_content(written.file))).runs


def test_the_library_s_own_writer_is_read(folder: Path) -> None:
    """`datasets` writes Image and ClassLabel as above."""
    import datasets

    rows = {"picture": [{"bytes": one, "path": None} for one in pictures()], "label": [0, 1] * 10}
    features = datasets.Features(
        picture=datasets.Image(), label=datasets.ClassLabel(names=["red", "blue"])
    )
    stream = io.BytesIO()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(stream)
    (folder / "data.parquet").write_bytes(stream.getvalue())
    assert planned(of_pictures()).task.options["labels"] == ["red", "blue"]


def test_pictures_of_the_hub_are_locked_planned_and_prepared(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as hub:
        connect(hub, folder / "cache", monkeypatch)
        write(folder / "train.parquet", "picture", "Image", pictures())
        files = {"data/train-00000-of-00001.parquet": (folder / "train.parquet").read_bytes()}
        hub.repositories["dataset", "owner/pictures"] = Repository(files)
        content = of_pictures(files="hub:owner/pictures")
        lock = make_lock(content, Lock())
        assert lock.tasks["photos"].rows == {"train": 12, "test": 4, "validation": 4}
        spec = planned(written_out(content, lock, []))
        assert spec.task.source is not None
        assert spec.task.source.revision
        manifest = prepare_task(spec.task, folder / "prepared")
    assert manifest.labels == ("red", "blue")
