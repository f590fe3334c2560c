"""Architectures that read images, from their public layout to a score, as a user's run goes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finegrid.models.anatomies import Anatomies
from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.estimate import base_parameters, device_bytes, memory_megabytes, read_data
from finegrid.planning.plan import make_plan
from finegrid.prepare.model import prepare_model
from finegrid.prepare.task import prepare_task
from finegrid.records.prediction import Question
from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.specification import Specification, model_key
from finegrid.training import experiment
from finegrid.training.measure.prediction import predict
from finegrid.training.record import Reached
from methods.registry import METHODS
from tasks.registry import kind_of
from tests.models.pictures import write_photos
from tests.prepare.image_layouts import IMAGE_LAYOUTS
from tests.training.assets import Assets

pytestmark = pytest.mark.usefixtures("quiet_process")
QUICK = ("vit", "convnext")
BEYOND = pytest.mark.thorough("test_an_architecture_trains_from_its_public_layout")
"""Of what is no plain transformer of patches and no network of convolutions."""
SPLIT = {"validation": 0.2, "test": 0.2}
VARIANTS: dict[str, Any] = {
    "full": {"method": "full", "learning_rate": 1e-3},
    "lora": {"method": "lora", "settings": {"rank": 2}, "learning_rate": 1e-2},
    "adapter": {"method": "adapter", "settings": {"size": 4}, "learning_rate": 1e-2},
    "prefix": {"method": "prefix", "learning_rate": 1e-2},
    "bitfit": {"method": "bitfit", "learning_rate": 1e-2},
    "head": {"method": "head", "learning_rate": 1e-2},
}
REASONS = {
    ("lora", "convnext"): "the model has no q, v layers",
    ("adapter", "convnext"): "the model has no o layers",
    ("prefix", "convnext"): "the model has no attention",
    ("prefix", "swin"): "its attention has keys of different sizes",
}
"""Why a method does not fit; others fit, or say that no family knows where sublayers end."""
_ENDS = "adapter"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, prepared once."""
    place = tmp_path_factory.mktemp("images")
    write_photos(place / "photos")
    return place


def planned(place: Path, name: str, *variants: str) -> dict[str, Specification]:
    """The runs of a model's layout by variant; None for what does not fit."""
    folder = IMAGE_LAYOUTS[name].write(place / name, name)
    task = {"kind": "image-classification", "files": f"{place}/photos", "split": SPLIT}
    grid = {"tasks": ["photos"], "models": [name], "not_applicable": "show"}
    content = {
        "name": "images",
        "seeds": [0],
        "interval": False,
        "training": {"epochs": 1, "batch_size": 4, "evaluation_batch_size": 4},
        "tasks": {"photos": task},
        "models": {name: f"path:{folder}"},
        "grids": [grid | {"variants": {one: VARIANTS[one] for one in variants}}],
    }
    plan = make_plan(parse_benchmark(content))
    for cell in plan.cells:
        if cell.not_applicable and cell.variant != _ENDS:
            assert cell.not_applicable.startswith(REASONS[cell.variant, name])
    return {cell.variant: run for cell in plan.cells for run in cell.runs.values()}


def reached(place: Path, spec: Specification) -> Reached:
    """All stages of a run in this process."""
    prepared = place / "prepared"
    if not (prepared / "tasks" / spec.task.key).exists():
        prepare_task(spec.task, prepared / "tasks" / spec.task.key)
    model = prepared / "models" / model_key(spec.model)
    if not model.exists():
        loader = kind_of(spec.task).loader
        prepare_model(spec.model, model, prepared / "tasks", place, [str(loader)])
    Assets(prepared, {}, {}).encode(spec)
    results = place / "results" / spec.run
    results.mkdir(parents=True)
    found: Reached = {}
    experiment.perform(experiment.Run(spec, prepared, results, lambda event: None), found)
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else BEYOND) for name in IMAGE_LAYOUTS]
)
def test_an_architecture_trains_from_its_public_layout(place: Path, name: str) -> None:
    spec = planned(place, name, *VARIANTS)["full"]
    found = reached(place, spec)
    assert found["metrics"].test["accuracy"].n == 4
    assert found["parameters"].trainable == found["parameters"].base
    assert "drawn_modules" in found
    assert found["drawn_modules"] == ()


@BEYOND
def test_every_method_runs_on_a_vision_transformer(place: Path) -> None:
    specs = planned(place, "vit", *(name for name in VARIANTS if name != "full"))
    assert specs.keys() == VARIANTS.keys() - {"full"}
    for spec in specs.values():
        memory = reached(place, spec)["memory"]
        assert memory is not None
        traced = predict(Question(spec=spec, batch=memory.batch))
        assert traced.reason is None
        assert traced.peak_bytes == pytest.approx(memory.peak_training_bytes, rel=0.04)
        check_bounds(place, spec, memory.peak_training_bytes)


def check_bounds(place: Path, spec: Specification, peak_bytes: int) -> None:
    """What a scheduler is asked for is enough, and no more than it has to be."""
    anatomy = Anatomies().of(spec.model, kind_of(spec.task).purpose)
    trains_base = METHODS.get(spec.variant.method).trains_base
    bound = device_bytes(spec, anatomy, trains_base=trains_base)
    assert peak_bytes < bound < 6 * peak_bytes + 20_000_000
    data = read_data(place / "prepared" / "tasks" / spec.task.key / MANIFEST_FILE)
    assert memory_megabytes(spec, anatomy, trains_base=trains_base, data=data) < 1200


def check_parameters(spec: Specification, rel: float) -> None:
    """The plan counts about the parameters that the loaded model has."""
    from transformers import AutoConfig

    from finegrid.models.discovery import build

    purpose = kind_of(spec.task).purpose
    options = dict(spec.model.configuration)
    config = AutoConfig.for_model(str(options.pop("model_type")), **options)
    with torch.no_grad():
        expected = sum(one.numel() for one in build(config, str(purpose.loader)).parameters())
    found = base_parameters(spec.model, Anatomies().of(spec.model, purpose))
    assert found == pytest.approx(expected, rel=rel)


@pytest.mark.parametrize("name", IMAGE_LAYOUTS)
def test_the_parameters_of_an_image_model_are_known_before_it_is_loaded(
    place: Path, name: str
) -> None:
    check_parameters(planned(place, name, "head")["head"], rel=0.15)
