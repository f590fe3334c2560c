"""What `finegrid init` makes of public data sets as they are unpacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finegrid.cli.first_benchmark import write_benchmark
from finegrid.planning.benchmark import load_content
from finegrid.planning.guess import Options
from finegrid.planning.own_files import of_files
from finegrid.planning.schema import TaskEntry
from finegrid.prepare.examined import Examiner
from tests.planning.own_folders import public_sets

SHARE = {"validation": 0.1}
GUESSED: dict[str, tuple[Callable[[Path], Path], Options, dict[str, Any]]] = {
    "speech commands": (
        public_sets.speech_commands,
        Options(),
        {
            "kind": "audio-classification",
            "drop": {"label": ["_background_noise_"]},
            "split": {
                "lists": {"validation": "validation_list.txt", "test": "testing_list.txt"},
                "group_pattern": "([^/]+)_nohash_",
            },
        },
    ),
    "food": (
        public_sets.food_101,
        Options(),
        {
            "kind": "image-classification",
            "split": {
                "lists": {"train": "food-101/meta/train.txt", "test": "food-101/meta/test.txt"},
                "path": "food-101/images/{}.jpg",
                **SHARE,
            },
        },
    ),
    "environmental sounds": (
        public_sets.esc_50,
        Options(label="category"),
        {
            "kind": "audio-classification",
            "metadata": {"files": "meta/esc50.csv", "path": "audio/{filename}"},
            "columns": {"label": "category"},
            "split": {"column": "fold", "values": {"validation": ["4"], "test": ["5"]}},
        },
    ),
    "urban sounds": (
        public_sets.urban_sound_8k,
        Options(),
        {
            "kind": "audio-classification",
            "metadata": {
                "files": "metadata/UrbanSound8K.csv",
                "path": "audio/fold{fold}/{slice_file_name}",
            },
            "columns": {"label": "class"},
            "split": {"column": "fold", "values": {"validation": ["9"], "test": ["10"]}},
        },
    ),
    "dogs": (
        public_sets.dog_breeds,
        Options(label="breed"),
        {
            "kind": "image-classification",
            "metadata": {"files": "labels.csv", "path": "train/{id}.jpg"},
            "columns": {"label": "breed"},
            "split": {"validation": 0.1, "test": 0.2},
        },
    ),
}


@pytest.mark.parametrize("name", GUESSED)
def test_a_benchmark_on_a_public_data_set_is_written(folder: Path, name: str) -> None:
    make, options, expected = GUESSED[name]
    make(folder / "data")
    written = write_benchmark("data", "hub:owner/model", options, None, Examiner())
    (entry,) = load_content(written.file)["tasks"].values()
    assert entry == {"files": "data"} | expected
    assert of_files(TaskEntry.model_validate(entry), Examiner()).counts["train"] > 0
