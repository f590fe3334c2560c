"""The runs whose memory is measured: every method, on each of the models."""

import json
from pathlib import Path

import pytest
import yaml

from measurements.memory import TEMPLATE, WAYS, benchmark, write_data
from methods.registry import training_methods
from workflow.pipeline import Pipeline


def test_every_method_fits_what_it_is_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that is registered is planned without further ado."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "reviews.csv")
    models = list(yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))["models"])
    (tmp_path / "memory.yaml").write_text(json.dumps(benchmark(models)), encoding="utf-8")
    runs = Pipeline.plan_from({"benchmark": "memory.yaml"}).runs.values()
    found = {(spec.variant.method, spec.model.name) for spec in runs}
    assert {name for name, _ in found} == set(training_methods())
    lora = [spec for spec in runs if spec.variant.method == "lora"]
    assert len(lora) == len(models) * len(WAYS) * 2  # kinds of tasks
