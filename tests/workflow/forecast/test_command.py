"""`finegrid plan`: what is printed, and the same as JSON."""

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.records.costs import Time
from finegrid.records.prediction import Prediction, Question
from tests.workflow.forecast.place import Place
from workflow.forecast import memory
from workflow.forecast.record import REASONS, Forecast, Job
from workflow.pipeline import Pipeline

HALF_AN_HOUR = Time(
    setup_seconds=0.0,
    train_seconds=1800.0,
    evaluate_seconds=0.0,
    step_median_seconds=0.1,
    step_p95_seconds=0.1,
    tokens_per_second=None,
    examples_per_second=1.0,
    steps=2,
)
PEAK = 17 * 10**9


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console of the command line was made before the test: it is the test's to widen."""
    monkeypatch.setattr("finegrid.cli.terminal.CONSOLE.width", 160)


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
        place.record(pipeline, run, time=HALF_AN_HOUR)
        if spec.seed == 1:
            shutil.rmtree(place.results / "runs" / run)
    return pipeline


def _on(device: str) -> dict[str, object]:
    return {"epochs": 1, "batch_size": 32, "learning_rate": 0.01, "device": device}


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


def test_without_records_and_tasks_time_is_unknown_and_no_number(place: Place) -> None:
    text, found = plan(place)
    assert "time: unknown, as" in text
    assert text.count("2 new      unknown") == 2
    assert (found.hours, found.unknown, found.bounded, found.bound_hours) == (0, 4, 0, 0)
    assert [cell.peak.measured_bytes for cell in found.cells if cell.peak] == [None, None]
    assert {(job.seconds, job.bound_seconds) for cell in found.cells for job in cell.jobs} == {
        (None, None)
    }


@pytest.mark.parametrize(("device", "devices"), [("cpu", 1), ("cuda", 2)])
def test_what_no_record_tells_has_the_bound_that_the_scheduler_is_asked_for(
    place: Place, device: str, devices: int
) -> None:
    """Ten minutes to start, and one for some 5e6 operations."""
    place.prepare(place.pipeline(training=_on(device) | {"devices": devices}))
    text, found = plan(place)
    row = ["full", "full", "0", "of", "2", "2", "new", "≤", "22", "min"]
    assert row in [line.split()[: len(row)] for line in text.splitlines()]
    of_gpus = " (1.5 h of GPUs)" if device == "cuda" else ""
    assert f"time: ≤ 44 min{of_gpus} for 4 that no record tells of" in text
    assert (found.hours, found.gpu_hours, found.unknown, found.bounded) == (0, 0, 4, 4)
    assert found.bound_hours == pytest.approx(44 / 60)
    assert found.bound_gpu_hours == pytest.approx(88 / 60 if device == "cuda" else 0)
    for cell in found.cells:
        assert (cell.runs.hours, cell.runs.unknown, cell.runs.bounded) == (0, 2, 2)
        assert cell.runs.bound_hours == pytest.approx(22 / 60)


def test_known_hours_count_for_each_gpu(place: Place) -> None:
    pipeline = place.pipeline(training=_on("cuda") | {"devices": 2})
    place.prepare(pipeline)
    for run in list(pipeline.plan.cells[0].runs)[:1]:
        place.record(pipeline, run, time=HALF_AN_HOUR)
    text, found = plan(place)
    assert "time: 1.5 h (3.0 h of GPUs) one after the other" in text
    assert found.hours == pytest.approx(1.5)
    assert found.gpu_hours == pytest.approx(3.0)


def test_bounds_are_not_added_to_known_hours(place: Place, half: Pipeline) -> None:
    """Beside the half hours of digits a task that is prepared, and one that is not."""
    content = yaml.safe_load(place.file.read_text())
    digits, (grid,) = content["tasks"]["digits"], content["grids"]
    options = {name: digits["options"] | {"train": n} for name, n in (("more", 65), ("most", 66))}
    tasks = {name: digits | {"options": one} for name, one in options.items()}
    place.prepare(place.pipeline(tasks=tasks | {"digits": digits}, grids=[grid, _of(grid, "more")]))
    place.pipeline(grids=[grid, _of(grid, "more", "most")])
    text, found = plan(place)
    assert "time: 1.0 h one after the other, ≤ 44 min for 4 that no record tells of, and 4" in text
    assert "1 new 30 min 17" in (rows := " ".join(text.split()))
    assert "2 new ≤ 22 min ≤ 17" in rows
    assert "2 new unknown ≤ 17" in rows
    assert found.hours == pytest.approx(1.0)
    assert (found.unknown, found.bounded) == (8, 4)
    assert found.bound_hours == pytest.approx(44 / 60)


def _of(grid: dict[str, object], *tasks: str) -> dict[str, object]:
    return grid | {"tasks": list(tasks)}


def test_every_trial_and_run_is_listed_in_the_order_of_the_plan(place: Place) -> None:
    """Trials are read to another length than runs, so that their times tell nothing of these."""
    tuning = {"seed": 9, "learning_rates": 2, "training": {"max_length": 64}}
    pipeline = place.pipeline(tuning=tuning)
    place.prepare(pipeline)
    first, *cells = pipeline.plan.cells
    trials, runs = list(first.trials), list(first.runs)
    place.record(pipeline, trials[0], time=HALF_AN_HOUR)
    text, found = plan(place)
    assert "3 new 30 min + ≤ 22 min ≤ 17" in " ".join(text.split())
    assert found.cells[0].jobs == (
        Job(run=trials[0], role="trial", gpus=0, reason=None),
        Job(run=trials[1], role="trial", gpus=0, reason="new", seconds=1800.0),
        Job(run=runs[0], role="run", gpus=0, reason="new", bound_seconds=660.0),
        Job(run=runs[1], role="run", gpus=0, reason="new", bound_seconds=660.0),
    )
    listed = [job.run for cell in found.cells for job in cell.jobs]
    assert listed == [run for cell in [first, *cells] for run in [*cell.trials, *cell.runs]]


def test_a_model_that_cannot_be_compared_is_named(place: Place, half: Pipeline) -> None:
    Path(half.run_model(next(iter(half.runs)))).with_name("model.safetensors").unlink()
    text, found = plan(place)
    assert "2 done, 2 would run" in text
    assert "models not compared with what the records were made with" in text
    assert found.unchecked_models == ("network",)


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


def test_a_step_that_fails_is_an_error_with_its_cell(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(questions: list[Question]) -> list[Prediction]:
        wrong = Prediction(peak_bytes=None, reason="the run fails: ValueError: x", run_fails=True)
        is_full = (one.spec.variant.name == "full" for one in questions)
        return [wrong if full else Prediction(peak_bytes=1) for full in is_full]

    monkeypatch.setattr(memory, "_traced", answer)
    done = CliRunner().invoke(app, ["plan", str(place.file), "--results", str(place.results)])
    assert done.exit_code == EXIT_CONFIGURATION
    assert "error: digits x network x full: the run fails: ValueError: x" in done.output
    assert "1 cell: " not in done.output
    assert "lora-r2: the run" not in done.output
