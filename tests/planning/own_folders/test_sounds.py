"""A folder of recordings from the benchmark to the prepared task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finegrid.planning import own_files
from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.planning.schema import TaskEntry
from finegrid.prepare import examined, hashes
from finegrid.prepare.examined import Examiner
from finegrid.prepare.task import prepare_task
from finegrid.records.specification import Specification
from kinds.inputs.audio import Audio
from tests.models.sounds import SOUNDS, encoded, tone, write_recordings
from tests.planning.own_folders.test_read import SPLIT

Problems = Callable[[Any], list[str]]


def benchmark(model: str = "path:sounds", **task: Any) -> dict[str, Any]:
    """One run of a tiny model of sounds on a folder of recordings."""
    entry = {"kind": "audio-classification", "files": "clips/", "split": SPLIT} | task
    variant = {"method": "head", "learning_rate": 0.01}
    return {
        "name": "clips",
        "seeds": [0],
        "interval": False,
        "tasks": {"clips": {key: one for key, one in entry.items() if one is not None}},
        "models": {"sounds": model},
        "training": {"epochs": 1, "batch_size": 8, "max_length": 1},
        "grids": [{"tasks": ["clips"], "models": ["sounds"], "variants": {"head": variant}}],
    }


@pytest.fixture
def clips(folder: Path) -> Path:
    SOUNDS["wav2vec2"].write(folder / "sounds")
    return write_recordings(folder / "clips")


def planned(**task: Any) -> Specification:
    (run,) = make_plan(parse_benchmark(benchmark(**task))).runs.values()
    return run


def test_a_folder_of_recordings_is_prepared(clips: Path, folder: Path) -> None:
    (clips / "LICENSE").write_text("free")
    write_recordings(clips, {"low/9.wav": (clips / "low" / "0.wav").read_bytes()})
    manifest = prepare_task(planned().task, folder / "prepared")
    assert manifest.labels == ("high", "low")
    assert {name: split.n for name, split in manifest.splits.items()} == {
        "train": 12,
        "validation": 4,
        "test": 4,
    }
    assert {one.near for one in manifest.overlaps} == {None}


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut off": (lambda content: content[: len(content) // 2], "cut off: "),
    "empty": (lambda content: b"", "no audio: low/3.wav (1 in all)"),
    "no samples": (lambda content: encoded(np.zeros(0)), "no samples; allowed: 1 or more"),
    "silent": (lambda content: encoded(np.zeros(8000)), "silence alone"),
    "text": (lambda content: b"file_name,label\n", "no audio: low/3.wav (1 in all)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_recording_that_teaches_nothing_is_one_line_before_any_job(
    clips: Path, problems: Problems, name: str
) -> None:
    spoil, message = BROKEN[name]
    path = clips / "low" / "3.wav"
    path.write_bytes(spoil(path.read_bytes()))
    (line,) = problems(benchmark())
    assert line.startswith("tasks.clips.files: ")
    assert message in line
    assert "low/3.wav" in line
    assert make_plan(parse_benchmark(benchmark(drop={"audio": ["low/3.wav"]}))).runs


def test_rates_that_differ_are_counted(clips: Path) -> None:
    write_recordings(clips, {"low/x.flac": encoded(tone(90, 2, 44100), 44100, "FLAC")})
    content = benchmark()
    found = own_files.of_files(TaskEntry(**content["tasks"]["clips"]), Examiner())
    assert found.remarks == ("21 recordings of 0.2 to 2.0 s: 20 at 8,000 Hz, 1 at 44,100 Hz",)


def test_a_second_plan_reads_no_file(
    clips: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "SETTLED_SECONDS", -3600)
    (folder / "results").mkdir()
    read: list[bytes] = []
    plain = Audio.examine

    def examine(self: Audio, content: bytes) -> Any:
        read.append(content)
        return plain(self, content)

    monkeypatch.setattr(Audio, "examine", examine)
    kept = folder / "results" / "prepared"
    make_plan(parse_benchmark(benchmark()), Examiner.kept(kept))
    assert len(read) == 20
    monkeypatch.delattr(hashes, "file_sha256")  # no file's hash is taken
    make_plan(parse_benchmark(benchmark()), Examiner.kept(kept))
    assert len(read) == 20


def test_what_was_found_is_forgotten_with_the_source_that_found_it(
    clips: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "results").mkdir()
    kept, path = folder / "results" / "prepared", clips / "low" / "3.wav"
    before = Examiner.kept(kept).of_file("audio-classification", path)
    assert before.problem is None
    monkeypatch.setattr(examined, "version", lambda name: "another")
    path.write_bytes(path.read_bytes()[:-999])
    monkeypatch.setattr(hashes.Hashes, "__call__", lambda self, path: "0" * 64)
    assert Examiner.kept(kept).of_file("audio-classification", path).problem


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"sampling_rate": None}, "its preprocessor_config.json: sampling_rate: None; allowed: a"),
        ({"num_mel_bins": 80}, "its preprocessor_config.json: spectrograms of any length; "),
    ],
)
def test_an_extractor_that_is_not_known_is_refused(
    clips: Path, problems: Problems, entries: dict[str, Any], message: str
) -> None:
    import json

    path = Path("sounds", "preprocessor_config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    (line,) = problems(benchmark())
    assert line.startswith(f"grids[0]: model 'sounds': {message}"), line
