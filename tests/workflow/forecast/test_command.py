"""`finegrid plan`: what is printed, and the same as JSON."""

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from records.prediction import Prediction
from records.result import RESULT_FILE, Result, Time
from tests.workflow.forecast.place import Place
from workflow.cli import EXIT_CONFIGURATION, app
from workflow.forecast import memory
from workflow.forecast.record import REASONS, Forecast
from workflow.pipeline import Pipeline

TRAIN_SECONDS = 1800.0
PEAK = 17 * 10**9


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console of the command line was made before the test: it is the test's to widen."""
    monkeypatch.setattr("workflow.cli._CONSOLE.width", 160)


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is predicted to take 17 GB."""
    answer = Prediction(peak_bytes=PEAK)
    monkeypatch.setattr(memory, "_traced", lambda questions: [answer] * len(questions))


@pytest.fixture
def half(place: Place) -> Pipeline:
    """Seed 0 is done, each run in half an hour of training; seed 1 would run."""
    pipeline = place.finish(place.pipeline(training=_on("cpu")))
    for run, spec in pipeline.runs.items():
        place.record(pipeline, run, time=_half_an_hour(place, run))
        if spec.seed == 1:
            shutil.rmtree(place.results / "runs" / run)
    return pipeline


def _on(device: str) -> dict[str, object]:
    return {"epochs": 1, "batch_size": 32, "learning_rate": 0.01, "device": device}


def _half_an_hour(place: Place, run: str) -> Time:
    time = Result.read(place.results / "runs" / run / RESULT_FILE).time
    assert time is not None
    changes = {"setup_seconds": 0.0, "train_seconds": TRAIN_SECONDS, "evaluate_seconds": 0.0}
    return time.model_copy(update=changes)


def plan(place: Place, *arguments: str) -> tuple[str, Forecast]:
    """What is printed, and what is written."""
    file = place.folder / "plan.json"
    where = [str(place.file), "--results", str(place.results), "--json", str(file)]
    done = CliRunner().invoke(app, ["plan", *where, *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout, Forecast.read(file)


def test_it_says_what_would_run_and_how_long_that_takes(place: Place, half: Pipeline) -> None:
    text, found = plan(place)
    lines = [line.split() for line in text.splitlines()]
    assert ["digits", "·", "network"] in lines
    row = ["full", "full", "1", "of", "2", "1", "new", "30", "min", "17.0", "GB"]
    assert row in [line[: len(row)] for line in lines]
    assert "4 runs: 2 done, 2 would run" in text
    assert "time: 1.0 h one after the other" in text
    assert f"new: {REASONS['new']}" in text
    assert found.hours == pytest.approx(1.0)
    assert (found.gpu_hours, found.unknown) == (0, 0)
    for cell in found.cells:
        assert cell.runs.would_run == {"new": 1}
        assert (cell.runs.planned, cell.runs.scaled, cell.trials.planned) == (2, 0, 0)
        assert cell.fits is None


def test_without_records_time_is_unknown_and_no_number(place: Place) -> None:
    text, found = plan(place)
    assert "time: unknown" in text
    assert (found.hours, found.unknown) == (0, 4)
    assert [cell.peak.measured_bytes for cell in found.cells if cell.peak] == [None, None]


def test_times_of_other_cells_are_marked_as_scaled(place: Place, half: Pipeline) -> None:
    place.pipeline(training=_on("cpu") | {"epochs": 4})
    text, found = plan(place)
    assert "~4.0 h" in text
    assert found.hours == pytest.approx(8.0)
    assert [cell.runs.scaled for cell in found.cells] == [2, 2]


@pytest.mark.parametrize(("memory_gb", "fits"), [("16", False), ("80", True)])
def test_a_profile_s_device_is_held_against_runs_on_a_gpu(
    place: Place, memory_gb: str, fits: bool
) -> None:
    place.pipeline(training=_on("cuda"))
    profile = place.folder / "profile"
    profile.mkdir()
    content = {"jobs": 5, "config": [f"device_memory_gb={memory_gb}"]}
    (profile / "config.yaml").write_text(yaml.safe_dump(content))
    text, found = plan(place, "--profile", str(profile))
    assert found.device_memory_gb == float(memory_gb)
    assert [(cell.gpus, cell.fits) for cell in found.cells] == [(1, fits)] * 2
    refusal = "does not fit 16 GB: digits x network x full, digits x network x lora-r2"
    assert (refusal in text) != fits


def test_a_bound_stands_in_for_a_trace_that_is_left_out(place: Place) -> None:
    text, found = plan(place, "--no-trace")
    assert "≤ " in text
    assert "2 cells: tracing was left out" in text
    assert [cell.peak.instrument for cell in found.cells if cell.peak] == ["bound", "bound"]


def test_a_method_that_does_not_fit_has_a_row(place: Place) -> None:
    content = yaml.safe_load(place.file.read_text())
    content["grids"][0]["variants"]["prefix"] = {"method": "prefix"}
    content["grids"][0]["not_applicable"] = "show"
    place.file.write_text(yaml.safe_dump(content))
    text, found = plan(place)
    assert ["prefix", "prefix", "n/a"] in [line.split()[:3] for line in text.splitlines()]
    assert found.cells[-1].not_applicable
    assert found.cells[-1].runs.planned == 0


def test_bad_input_is_one_line(place: Place, tmp_path: Path) -> None:
    for arguments in (["defualt"], [str(place.file), "--profile", str(tmp_path / "nowhere")]):
        done = CliRunner().invoke(app, ["plan", *arguments])
        assert done.exit_code == EXIT_CONFIGURATION
        assert "Traceback" not in done.output
