import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finegrid.prepare import task as module
from finegrid.prepare.sources import fetch
from finegrid.prepare.task import prepare_task
from finegrid.records.prepared import MANIFEST_FILE, PreparedTask, SharedExample, SplitName
from finegrid.records.result import RESULT_FILE
from finegrid.records.specification import Source
from finegrid.records.specification import Task as Specification
from kinds.inputs import duplicates
from kinds.inputs.duplicates import Match
from tasks.contract import Task
from tasks.registry import TASKS

IMAGES = "flat-image-classification"
SIZES: dict[str, Any] = {"train": 30, "validation": 10, "test": 10}


@dataclass(frozen=True)
class Given(Task):
    """Frames that a test gives."""

    metrics = ("accuracy",)
    frames: dict[SplitName, pd.DataFrame]
    kind: str = "text-classification"
    labels: tuple[str, ...] = ("no", "yes")

    def read(self, folder: Path) -> dict[SplitName, pd.DataFrame]:
        assert (folder / "data").read_text() == "fetched"
        return self.frames


def frames(**changes: list[Any]) -> dict[SplitName, pd.DataFrame]:
    """Three splits of two texts each; `changes` replace columns of train, None drops one."""
    made: dict[SplitName, pd.DataFrame] = {
        "train": pd.DataFrame({"id": ["a", "b"], "text": ["one", "two"], "label": [0, 1]}),
        "validation": pd.DataFrame({"id": ["c", "d"], "text": ["three", "four"], "label": [1, 1]}),
        "test": pd.DataFrame({"id": ["e", "f"], "text": ["five", "six"], "label": [0, 0]}),
    }
    made["train"] = made["train"].assign(**changes)
    return made


@pytest.fixture
def spec(tmp_path: Path) -> Specification:
    (tmp_path / "data").write_text("fetched")
    return Specification(name="given", task="given", source=Source(uri=f"path:{tmp_path}/data"))


@pytest.fixture
def prepare(spec: Specification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Prepare given frames; returns the manifest."""

    def run(made: dict[SplitName, pd.DataFrame], name: str = "out", **options: Any) -> PreparedTask:
        monkeypatch.setattr(TASKS, "build", lambda *_: Given(made, **options))
        return prepare_task(spec, tmp_path / name, tmp_path / "cache")

    return run


def test_only_the_files_that_the_task_needs_are_fetched(
    prepare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, Any]] = []

    def recorded(source: Source, folder: Path, files: Any, *, cache: Path) -> dict[str, str]:
        calls.append((files, cache))
        return fetch(source, folder, files, cache=cache)

    monkeypatch.setattr(module, "fetch", recorded)
    monkeypatch.setattr(Given, "files", lambda _: ("data",))
    prepare(frames())
    assert calls == [(("data",), tmp_path / "cache")]


def test_splits_and_manifest_lie_in_the_folder(
    prepare: Any, spec: Specification, tmp_path: Path
) -> None:
    manifest = prepare(frames())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        MANIFEST_FILE,
        "test.parquet",
        "train.parquet",
        "validation.parquet",
    ]
    assert PreparedTask.read(tmp_path / "out" / MANIFEST_FILE) == manifest
    assert manifest.key == spec.key
    assert manifest.splits["train"].label_counts == {"no": 1, "yes": 1}
    assert manifest.splits["test"].label_counts == {"no": 2, "yes": 0}
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "out" / "train.parquet"), frames()["train"]
    )


def test_the_same_content_gives_the_same_bytes(prepare: Any, tmp_path: Path) -> None:
    first, second = prepare(frames(), "one"), prepare(frames(), "two")
    assert first == second
    for split in ("train", "validation", "test"):
        one, two = (tmp_path / name / f"{split}.parquet" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_the_fingerprint_is_pinned_and_free_of_the_frames_layout(prepare: Any) -> None:
    manifest = prepare(frames())
    rows = b'{"id":"a","label":0,"text":"one"}\n{"id":"b","label":1,"text":"two"}\n'
    assert manifest.splits["train"].sha256 == hashlib.sha256(rows).hexdigest()
    shuffled = {name: frame[["label", "text", "id"]] for name, frame in frames().items()}
    assert prepare(shuffled).sha256 == manifest.sha256


PUBLISHED = Path(__file__).parents[2] / "results" / "reference" / "runs"


@pytest.mark.parametrize("name", ["digits-turned", "digits-upright"])
def test_the_fingerprint_is_that_of_published_records(name: str, tmp_path: Path) -> None:
    record = json.loads(next(PUBLISHED.glob(f"{name}-*/{RESULT_FILE}")).read_text())
    manifest = prepare_task(Specification(**record["spec"]["task"]), tmp_path)
    assert manifest.sha256 == record["provenance"]["data_sha256"]


def as_tables(made: dict[SplitName, pd.DataFrame]) -> dict[SplitName, pa.Table]:
    """In chunks of a row each."""
    tables = {name: pa.Table.from_pandas(frame) for name, frame in made.items()}
    return {
        name: pa.concat_tables(table.slice(at, 1) for at in range(table.num_rows))
        for name, table in tables.items()
    }


def test_arrow_tables_are_prepared_as_frames_are(prepare: Any, tmp_path: Path) -> None:
    made = frames()
    made["test"]["text"] = ["one", "five"]
    assert prepare(as_tables(made), "one") == prepare(made, "two")
    for split in ("train", "validation", "test"):
        one, two = (tmp_path / name / f"{split}.parquet" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": [0.5, 1]}, "split train, column label: double in the place of whole"),
        ({"text": ["one", None]}, "split train, column text: 1 missing values, in rows 'b'"),
        ({"id": ["a", "e"]}, "1 ids occur more than once, such as 'e'"),
        ({"extra": [1, 2]}, "split train has the columns id, text, label, extra"),
    ],
)
def test_wrong_arrow_tables_are_named(
    prepare: Any, changes: dict[str, list[Any]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(as_tables(frames(**changes)))


def test_rows_are_written_in_groups(
    prepare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(frames(), "whole")
    monkeypatch.setattr(module, "_GROUP_ROWS", 1)
    monkeypatch.setattr(module, "_BATCH_ROWS", 1)
    parts = prepare(as_tables(frames()), "parts")
    assert pq.ParquetFile(tmp_path / "parts" / "train.parquet").num_row_groups == 2
    assert parts.sha256 == whole.sha256
    assert pq.read_table(tmp_path / "parts" / "train.parquet") == pq.read_table(
        tmp_path / "whole" / "train.parquet"
    )


@pytest.mark.parametrize(
    "changes",
    [{"id": ["a", "x"]}, {"text": ["one", "Two"]}, {"label": [0, 0]}, {"text_pair": ["x", "y"]}],
)
def test_every_column_is_in_the_fingerprint(prepare: Any, changes: dict[str, list[Any]]) -> None:
    assert prepare(frames(**changes)).sha256 != prepare(frames()).sha256


def test_the_order_of_rows_is_in_the_fingerprint(prepare: Any) -> None:
    turned = frames()
    turned["train"] = turned["train"].iloc[::-1]
    assert prepare(turned).sha256 != prepare(frames()).sha256


def shared(manifest: PreparedTask) -> list[tuple[str, str, int, int | None, float]]:
    """What the manifest says of each pair of splits."""
    return [(o.first, o.second, o.exact, o.near, o.fraction) for o in manifest.overlaps]


def test_shared_texts_are_counted_by_example_and_not_refused(prepare: Any) -> None:
    made = frames(text=["THREE!", "five"])
    made["test"]["text"] = ["Five.", "five"]
    manifest = prepare(made)
    assert shared(manifest) == [
        ("train", "validation", 1, 0, 0.5),
        ("train", "test", 2, 0, 1.0),
        ("validation", "test", 0, 0, 0.0),
    ]
    assert manifest.overlaps[1].examples == (
        SharedExample(first="b", second="e", similarity=1.0),
        SharedExample(first="b", second="f", similarity=1.0),
    )


def test_near_duplicates_are_counted_apart_with_the_five_most_similar(prepare: Any) -> None:
    text = "the plot is thin but the actors carry this film from its start to its conclusion"
    made = frames(text=[text, "two"])
    copies = [text[: len(text) - cut] for cut in (6, 5, 4, 3, 2, 1)]
    made["test"] = pd.DataFrame(
        {"id": list("efghijk"), "text": [*copies, text.upper()], "label": [0] * 7}
    )
    found = prepare(made).overlaps[1]
    assert (found.exact, found.near, found.fraction) == (1, 6, 1.0)
    assert [pair.second for pair in found.examples] == ["k", "j", "i", "h", "g"]
    assert "Jaccard similarity of at least 0.8" in found.definition
    grams = len({text[at : at + 5] for at in range(len(text) - 4)})
    assert [pair.similarity for pair in found.examples] == [
        1.0,
        *(round((grams - cut) / grams, 4) for cut in (1, 2, 3, 4)),
    ]


def test_plain_numbers_have_exact_duplicates_alone(prepare: Any) -> None:
    points = {
        name: pd.DataFrame({"id": frame["id"], "features": [[at], [at + 1]], "label": [0.5, 1.5]})
        for at, (name, frame) in enumerate(frames().items())
    }
    manifest = prepare(points, kind="tabular-regression", labels=())
    assert shared(manifest) == [
        ("train", "validation", 1, None, 0.5),
        ("train", "test", 0, None, 0.0),
        ("validation", "test", 1, None, 0.5),
    ]
    assert manifest.overlaps[2].examples == (SharedExample(first="d", second="e", similarity=1.0),)


def test_what_splits_share_is_not_in_the_fingerprint(
    prepare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = prepare(frames())
    monkeypatch.setattr(duplicates, "text_matches", lambda *_: [Match(0, 0, 1.0, exact=True)])
    after = prepare(frames())
    assert after.overlaps != before.overlaps
    assert after.sha256 == before.sha256


def test_pairs_overlap_only_as_pairs(prepare: Any) -> None:
    made = frames(text=["one", "same"], text_pair=["x", "y"])
    made["validation"] = made["validation"].assign(text=["one", "same"], text_pair=["y", "Y"])
    made["test"] = made["test"].assign(text_pair=["x", "y"])
    assert [overlap.exact for overlap in prepare(made).overlaps] == [1, 0, 0]


def test_a_regression_has_floats_and_no_counts(prepare: Any, tmp_path: Path) -> None:
    made = {name: frame.assign(label=[0.25, 4]) for name, frame in frames().items()}
    manifest = prepare(made, kind="text-regression", labels=())
    assert manifest.splits["train"].label_counts == {}
    assert pd.read_parquet(tmp_path / "out" / "train.parquet")["label"].tolist() == [0.25, 4.0]


def as_images(*values: list[float]) -> dict[SplitName, pd.DataFrame]:
    made = {
        name: frame.assign(pixels=pd.Series([[0.0, 1.0]] * 2)) for name, frame in frames().items()
    }
    made["train"]["pixels"] = list(values)
    return {name: frame[["id", "pixels", "label"]] for name, frame in made.items()}


def test_images_are_compared_by_their_pixels(prepare: Any, tmp_path: Path) -> None:
    manifest = prepare(as_images([0.0, 1.0], [0.5, 0.25]), kind=IMAGES)
    assert [overlap.exact for overlap in manifest.overlaps] == [2, 2, 2]
    pixels = pd.read_parquet(tmp_path / "out" / "train.parquet")["pixels"]
    assert pixels[1].dtype == np.float32
    assert pixels[1].tolist() == [0.5, 0.25]
    again = prepare(as_images([0.0, 1.0], [0.5, 0.75]), kind=IMAGES)
    assert again.sha256 != manifest.sha256


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (frames(id=["a", "a"]), "1 ids occur more than once, such as 'a'"),
        (frames(id=["a", "e"]), "1 ids occur more than once, such as 'e'"),
        (frames(label=[0, 2]), "split train: 1 labels, 2 in row 'b'; allowed: 0 to 1"),
        (frames(label=[-1, 0]), "split train: 1 labels, -1 in row 'a'; allowed: 0 to 1"),
        (frames(label=["0", "1"]), "split train, column label: str in the place of whole"),
        (frames(label=[0.5, 1]), "split train, column label: float64 in the place of whole"),
        (frames(text=["one", None]), "split train, column text: 1 missing values, in rows 'b'"),
        (frames(id=[1, 2]), "split train, column id: "),
        (frames(extra=[1, 2]), "split train has the columns id, text, label, extra"),
        ({**frames(), "test": frames()["test"].iloc[:0]}, "split test has no examples"),
        ({"train": frames()["train"]}, "split validation has no examples"),
        ({**frames(), "train": frames()["train"].drop(columns="text")}, "has the columns id, l"),
        (as_images([0.0, 1.0], [0.5]), r"split train: rows of \[1, 2\] pixels"),
        (as_images([0.0, 1.0], [0.5, 1.5]), r"split train: pixels outside of \[0, 1\]"),
        (as_images([0.0, 1.0], [0.5, float("nan")]), "split train: pixels outside"),
    ],
)
def test_wrong_data_is_named_and_leaves_nothing(
    prepare: Any, tmp_path: Path, made: dict[SplitName, pd.DataFrame], message: str
) -> None:
    kind = IMAGES if "pixels" in made["train"] else "text-classification"
    with pytest.raises(ValueError, match=message):
        prepare(made, kind=kind)
    assert not (tmp_path / "out").exists()


def test_a_missing_regression_label_is_refused(prepare: Any) -> None:
    made = {name: frame.assign(label=[0.5, np.inf]) for name, frame in frames().items()}
    with pytest.raises(ValueError, match=r"labels, inf in row .*; allowed: finite numbers"):
        prepare(made, kind="text-regression", labels=())


def test_an_interrupted_preparation_leaves_no_manifest(
    prepare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(frames())

    def full(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="disk full"):
        prepare(frames())
    assert not (tmp_path / "out" / MANIFEST_FILE).exists()
