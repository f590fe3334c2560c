"""A benchmark of each kind rehearses, though nothing of it is on this machine."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from finegrid.cli.main import app
from finegrid.records import result
from tests.rehearsal.benchmarks import CASES

QUICK = ("question-answering", "image-classification")
_THOROUGH = pytest.mark.thorough("test_a_kind_rehearses_of_which_nothing_is_here")
KINDS = [pytest.param(name, marks=() if name in QUICK else _THOROUGH) for name in CASES]
HELD: dict[str, dict[str, Any]] = {
    "int8": {"weights": "int8"},
    "nf4": {"weights": "nf4", "double_quantisation": True, "dtype": "bf16"},
    "recomputed": {"gradient_checkpointing": True},
}
Rehearse = Callable[..., Result]


@pytest.fixture
def rehearse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet_process: None) -> Rehearse:
    """What the command says of a benchmark's content, from a folder with no other file."""
    monkeypatch.chdir(tmp_path)

    def call(content: dict[str, Any], *arguments: str) -> Result:
        Path("small.yaml").write_text(json.dumps(content), encoding="utf-8")
        return CliRunner().invoke(app, ["rehearse", "small.yaml", *arguments])

    return call


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_rehearses_of_which_nothing_is_here(rehearse: Rehearse, name: str) -> None:
    done = rehearse(CASES[name].benchmark())
    assert done.exit_code == 0, done.output
    assert "1 of 1 cells rehearsed" in done.output
    assert "made up: rows of rows" in done.output


@pytest.mark.thorough("test_a_kind_rehearses_of_which_nothing_is_here")
@pytest.mark.parametrize("name", HELD)
def test_a_base_is_held_as_the_benchmark_says(rehearse: Rehearse, name: str) -> None:
    done = rehearse(CASES["text-regression"].benchmark(**HELD[name]), "--keep", "kept")
    assert done.exit_code == 0, done.output
    (found,) = Path("kept/runs").glob("*/result.json")
    training = result.Result.read(found).spec.training.model_dump()
    assert {key: training[key] for key in HELD[name]} == HELD[name]


@pytest.mark.thorough("test_a_kind_rehearses_of_which_nothing_is_here")
def test_what_several_devices_share_runs_on_one_process(rehearse: Rehearse) -> None:
    shared = {"device": "cuda", "devices": 4, "nodes": 2, "strategy": "fsdp"}
    done = rehearse(CASES["text-regression"].benchmark(**shared))
    assert done.exit_code == 0, done.output
    asked = "device cuda, devices 4, nodes 2, strategy fsdp"
    assert f"one process of the CPU in the place of: {asked}" in done.output


@pytest.mark.thorough("test_a_tuned_cell_has_a_trial_before_its_run")
def test_tuned_settings_fit_the_tiny_model(rehearse: Rehearse) -> None:
    content = CASES["text-regression"].benchmark()
    content["tuning"] = {
        "seed": 100,
        "others": {"settings.rank": [256, 512], "optimizer.weight_decay": [0.0, 0.1]},
        "training": {"batch_size": 16, "epochs": 3, "max_length": 32},
    }
    done = rehearse(content, "--keep", "kept")
    assert done.exit_code == 0, done.output
    assert "of each cell: one trial, and its first seed by what that chose" in done.output
    assert "one: rank 512 -> " in done.output
    found = map(result.Result.read, Path("kept/runs").glob("*/result.json"))
    trial, run = sorted(found, key=lambda one: one.spec.role, reverse=True)
    assert (trial.spec.role, run.spec.role) == ("trial", "run")
    assert run.tuning is not None
    assert run.tuning.chosen_run == trial.run
    assert run.tuning.chosen is not None
    assert run.tuning.chosen["settings.rank"] == trial.spec.variant.settings["rank"]
    assert run.tuning.chosen["optimizer.weight_decay"] == 0.1
    assert (trial.spec.training.batch_size, trial.spec.training.max_length) == (4, 32)
