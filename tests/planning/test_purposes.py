"""Models and kinds of task that do not go together, and those that do: told before any job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from tests.models.pictures import write_photos, write_vit
from tests.planning.own_folders.test_read import benchmark

Problems = Callable[[Any], list[str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with photos and a tiny ViT."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    write_vit(tmp_path / "vit")
    return tmp_path


def on_texts(folder: Path) -> dict[str, Any]:
    rows = ["text,label", *(f"text {n},{n % 2}" for n in range(20))]
    (folder / "a.csv").write_text("\n".join(rows))
    columns = {"text": "text", "label": "label"}
    return benchmark(kind="text-classification", files="a.csv", columns=columns)


def test_a_model_of_images_is_refused_for_texts(folder: Path, problems: Problems) -> None:
    (line,) = problems(on_texts(folder))
    assert line == (
        "grids[0]: model 'vit' reads images, and task 'photos' is of kind text-classification; "
        "allowed: tasks of kind image-classification"
    )


def test_a_model_of_texts_is_refused_for_images(problems: Problems, small: dict[str, Any]) -> None:
    content = benchmark() | {"models": {"vit": small["models"]["tiny"]}}
    (line,) = problems(content)
    assert line.startswith("grids[0]: model 'vit' reads text, and task 'photos' is of kind image-")


def edit(folder: Path, **entries: Any) -> None:
    path = folder / "vit" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_a_missing_processor_is_told_once(folder: Path, problems: Problems) -> None:
    (folder / "vit" / "preprocessor_config.json").unlink()
    assert problems(benchmark()) == [
        "models.vit: no preprocessor_config.json, which says how inputs are processed; allowed: one"
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            {"size": {"height": 48, "width": 48}},
            "grids[0]: model 'vit': its preprocessor_config.json makes images of 48 x 48, and it "
            "takes 32 x 32 pixels alone; allowed: the same in both",
        ),
        (
            {"size": {"shortest_edge": 32}},
            "grids[0]: model 'vit': its preprocessor_config.json names no one size of images; ",
        ),
        ({"auto_map": {"AutoImageProcessor": "x.Y"}}, "models.vit: preprocessor_config.json: auto"),
    ],
)
def test_a_processor_that_does_not_fit_is_refused(
    folder: Path, problems: Problems, entries: dict[str, Any], message: str
) -> None:
    edit(folder, **entries)
    (line,) = problems(benchmark())
    assert line.startswith(message), line


def test_batch_norms_are_refused_with_the_reason(folder: Path, problems: Problems) -> None:
    from transformers import ResNetConfig, ResNetForImageClassification

    sizes: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [16, 32], "depths": [1, 1]}
    ResNetForImageClassification(ResNetConfig(**sizes)).save_pretrained(folder / "resnet")
    processor = (folder / "vit" / "preprocessor_config.json").read_text()
    (folder / "resnet" / "preprocessor_config.json").write_text(processor)
    (line,) = problems(benchmark("path:resnet"))
    assert "has batch norms, such as resnet.embedder.embedder.normalization: what it learns" in line


def test_what_the_processor_says_is_part_of_a_run_s_identity(folder: Path) -> None:
    (before,) = make_plan(parse_benchmark(benchmark())).runs.values()
    assert before.model.processor["size"] == {"height": 32, "width": 32}
    edit(folder, image_mean=[0.4, 0.4, 0.4])
    (after,) = make_plan(parse_benchmark(benchmark())).runs.values()
    assert before.run != after.run


def test_a_model_of_texts_has_no_processor_in_its_record(small: dict[str, Any]) -> None:
    runs = make_plan(parse_benchmark(small)).runs.values()
    assert all("processor" not in run.model.model_dump(mode="json") for run in runs)
