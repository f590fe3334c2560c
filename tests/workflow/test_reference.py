"""`config/README.md` against the schema."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from records.base import Record
from records.specification import Optimizer, Source, Training
from workflow.benchmark import CONFIG_FOLDER, parse_benchmark
from workflow.plan import make_plan
from workflow.schemas.benchmark import (
    Benchmark,
    CheckpointEntry,
    Grid,
    NetworkEntry,
    PretrainingEntry,
    RandomEntry,
    TaskEntry,
    VariantEntry,
)

README = (CONFIG_FOLDER / "README.md").read_text(encoding="utf-8")
SECTIONS: dict[str, list[type[Record]]] = {
    "The file": [Benchmark],
    "Tasks": [TaskEntry],
    "Models": [CheckpointEntry, RandomEntry, NetworkEntry, PretrainingEntry],
    "Sources": [Source],
    "Grids and variants": [Grid, VariantEntry],
    "Training": [Training, Optimizer],
}


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_of_the_schema_is_described(title: str) -> None:
    keys = {key for model in SECTIONS[title] for key in model.model_fields}
    assert {key for key in keys if f"`{key}`" not in section(title)} == set()


def rows(title: str) -> Iterator[tuple[str, str, str]]:
    """Key, type and default of every row of four columns."""
    for line in section(title).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 4:
            yield cells[0].strip("`"), cells[1], cells[2]


@pytest.mark.parametrize("title", [title for title in SECTIONS if title != "Models"])
def test_no_key_is_described_that_the_schema_lacks(title: str) -> None:
    keys = {key for model in SECTIONS[title] for key in model.model_fields}
    found = [key for key, _, _ in rows(title)]
    assert set(found) <= keys
    assert len(found) == sum(len(model.model_fields) for model in SECTIONS[title])


def test_the_defaults_of_training_are_those_of_the_schema() -> None:
    described = {key: default.strip("`") for key, _, default in rows("Training")}
    fields: dict[str, Any] = {**Training.model_fields, **Optimizer.model_fields}
    for key, field in fields.items():
        text = described[key].partition(":")[0]
        if field.is_required():
            assert text == "required", key
        elif key != "optimizer":
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert yaml.safe_load(text) == default, key


def test_the_example_plans(small: dict[str, Any]) -> None:
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example
    small["grids"][1] |= yaml.safe_load(example[1])
    names = [
        cell.variant for cell in make_plan(parse_benchmark(small)).cells if cell.model == "tiny"
    ]
    promised = re.search(r"# (lora.*)", example[1])
    assert promised
    assert names == ["full", *promised[1].split(", ")]


def test_every_benchmark_is_listed() -> None:
    assert all(f"`{path.name}`" in README for path in CONFIG_FOLDER.glob("*.yaml"))
