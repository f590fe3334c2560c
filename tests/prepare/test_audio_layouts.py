"""Architectures that read sounds, from their public layout to a score, as a user's run goes."""

from pathlib import Path
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.prediction import Question
from finegrid.records.specification import Specification
from finegrid.training.measure.prediction import predict
from tests.models.sounds import SOUNDS, write_recordings
from tests.prepare.test_image_layouts import (
    SPLIT,
    VARIANTS,
    check_bounds,
    check_parameters,
    reached,
)

_NO_LIBRARY = "its attention (WavLMAttention) does not go through the library's function"
REASONS = {
    ("lora", "wavlm"): "stored as weight, not as linear layers: ",
    ("adapter", "wavlm"): "stored as weight, not as linear layers: ",
    ("prefix", "wavlm"): _NO_LIBRARY,
    ("prefix", "sew-d"): "its attention (DisentangledSelfAttention) does not go through",
}
"""Why a method does not fit."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings, prepared once."""
    place = tmp_path_factory.mktemp("sounds")
    write_recordings(place / "clips")
    return place


def planned(place: Path, name: str, *variants: str) -> dict[str, Specification]:
    """The runs of a model's layout by variant, without those that do not fit."""
    model = name.replace(" ", "-")
    folder = SOUNDS[name].write(place / model)
    task = {"kind": "audio-classification", "files": f"{place}/clips", "split": SPLIT}
    grid = {"tasks": ["clips"], "models": [model], "not_applicable": "show"}
    content: dict[str, Any] = {
        "name": "sounds",
        "seeds": [0],
        "interval": False,
        "training": {"epochs": 1, "batch_size": 4, "evaluation_batch_size": 4, "max_length": 1},
        "tasks": {"clips": task},
        "models": {model: f"path:{folder}"},
        "grids": [grid | {"variants": {one: VARIANTS[one] for one in variants}}],
    }
    plan = make_plan(parse_benchmark(content))
    for cell in plan.cells:
        if cell.not_applicable:
            assert cell.not_applicable.startswith(REASONS[cell.variant, name])
    return {cell.variant: run for cell in plan.cells for run in cell.runs.values()}


@pytest.mark.parametrize("name", ["audio-spectrogram-transformer", "data2vec-audio", "wavlm"])
def test_an_architecture_trains_from_its_public_layout(place: Path, name: str) -> None:
    spec = planned(place, name, *VARIANTS)["full"]
    found = reached(place, spec)
    assert found["metrics"].test["accuracy"].n == 4
    assert found["parameters"].trainable == found["parameters"].base
    assert found["drawn_modules"] == ()


@pytest.mark.parametrize("name", ["wav2vec2 layered", "whisper"])
def test_every_method_runs_on_sounds(place: Path, name: str) -> None:
    specs = planned(place, name, *VARIANTS)
    assert specs.keys() == VARIANTS.keys()
    for spec in specs.values():
        memory = reached(place, spec)["memory"]
        assert memory is not None
        traced = predict(Question(spec=spec, batch=memory.batch))
        assert traced.reason is None
        assert traced.peak_bytes is not None
        # In a model as small as this, one more output of a convolution is a tenth of the peak.
        assert 0.95 < traced.peak_bytes / memory.peak_training_bytes < 1.12
        check_bounds(place, spec, memory.peak_training_bytes)


@pytest.mark.parametrize("name", ["hubert layered", "sew-d", "whisper"])
def test_the_parameters_of_a_model_of_sounds_are_known_before_it_is_loaded(
    place: Path, name: str
) -> None:
    check_parameters(planned(place, name, "head")["head"], rel=0.25)
