"""`finegrid drift` on the results of a tiny benchmark."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Done

from analysis.drift.findings import Drift
from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.prepare.model import prepare_model
from finegrid.prepare.task import prepare_task
from finegrid.records.result import RESULT_FILE, Choice, Result, Score, Trial
from finegrid.records.specification import Specification, Tuning, model_key
from finegrid.records.tuning import choice_file, tuned, tuning_key
from tests.small import REPOSITORY, SMALL
from tests.training.assets import Assets
from tests.warm.start import warm_python

FULL, TUNED = "digits-network-full", "digits-network-lora-r2"
RATES = (0.01, 0.02)
Drifting = Callable[..., Done]


@pytest.fixture
def drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drifting:
    """The command on `results`, which writes to `drift`."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def call(*arguments: str) -> Done:
        folders = [str(tmp_path / "results"), "--output", str(tmp_path / "drift")]
        with warm_python():
            return CliRunner().invoke(app, ["drift", *folders, *arguments])

    return call


def planned() -> list[Specification]:
    """Two seeds of a cell as it is planned, and one of a cell that is tuned."""
    content = SMALL | {"grids": SMALL["grids"][:1]}
    first, second, third, _ = make_plan(parse_benchmark(content)).runs.values()
    tuning = Tuning(seed=100, grid={"learning_rate": RATES}, ratio=2.0)
    return [first, second, third.model_copy(update={"tuning": tuning})]


def choice(spec: Specification) -> Choice:
    """A choice by two trials, of which the second is better."""
    trials = [
        Trial(
            run=f"trial-{at}",
            values={"learning_rate": rate},
            state="ok",
            score=Score(value=at / 2, n=20),
        )
        for at, rate in enumerate(RATES)
    ]
    return Choice(
        key=tuning_key(spec),
        metric="accuracy",
        trials=tuple(trials),
        chosen=trials[1].values,
        chosen_run=trials[1].run,
        edge="upper",
    )


def make(results: Path) -> list[Result]:
    """The results of then, by what the pipeline's jobs call."""
    specs = planned()
    place = Assets(results / "prepared", {}, {})
    tasks, models = place.prepared / "tasks", place.prepared / "models"
    task, model = specs[0].task, specs[0].model
    prepare_task(task, tasks / task.key, place.prepared / "downloads")
    prepare_model(model, models / model_key(model), tasks, place.prepared / "downloads")
    choice(specs[2]).write(results / "tuning" / choice_file(specs[2]))
    return [place.run(spec, results) for spec in specs]


def rewrite(results: Path, result: Result, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what a record says, as if that had been measured: its seal is made anew."""
    path = results / "runs" / result.run / RESULT_FILE
    record = json.loads(path.read_text()) | {"record_sha256": None}
    edit(record)
    Result.model_validate_json(json.dumps(record)).sealed().write(path)


def worse(record: dict[str, Any]) -> None:
    """By almost the same under every seed: a shift without spread cannot be tested."""
    record["losses"]["final"] += 0.25 + 0.001 * record["spec"]["seed"]


@pytest.mark.thorough("test_a_run_whose_data_are_gone_is_reported")
def test_the_same_code_repeats_its_runs_and_a_planted_change_is_found(
    tmp_path: Path, drift: Drifting, quiet_process: None
) -> None:
    then = make(tmp_path / "results")
    done = drift()
    assert done.exit_code == 0, done.output
    report = Drift.read(tmp_path / "drift" / "drift.json")
    assert {cell.cell: cell.verdict for cell in report.cells} == {
        FULL: "identical",
        TUNED: "identical",
    }
    assert [change for cell in report.cells for change in cell.changes] == []
    choices = [run.spec for run in then[:2]] + [tuned(then[2].spec, {"learning_rate": 0.02})]
    made = {spec.run: Path(report.remade, "runs", spec.run, RESULT_FILE) for spec in choices}
    ages = {run: path.stat().st_mtime_ns for run, path in made.items()}
    assert {rerun.now for cell in report.cells for rerun in cell.reruns} == set(made)

    for result in then[:2]:
        rewrite(tmp_path / "results", result, worse)
    done = drift("--cells", "2", "--cores", "2")
    assert done.exit_code == 1, done.output
    assert f"{FULL}: shifted" in done.stdout
    assert f"{TUNED}: identical" in done.stdout
    report = Drift.read(tmp_path / "drift" / "drift.json")
    (full,) = [cell for cell in report.cells if cell.cell == FULL]
    assert [one.mean for one in full.shifts] == [pytest.approx(-0.2505), 0, 0]
    assert {run: path.stat().st_mtime_ns for run, path in made.items()} == ages

    assert drift("--cell", TUNED).exit_code == 0


def test_a_run_whose_data_are_gone_is_reported(
    assets: Assets, tmp_path: Path, drift: Drifting, quiet_process: None
) -> None:
    spec = assets.specification("head", model="bert")
    assets.run(spec, tmp_path / "results")
    done = drift()
    assert done.exit_code == 1, done.output
    (cell,) = Drift.read(tmp_path / "drift" / "drift.json").cells
    assert cell.verdict == "re-run failed"
    (rerun,) = cell.reruns
    assert rerun.state == "failed"
    assert rerun.reason
    assert rerun.reason.startswith(f"{spec.task.key} could not be prepared: exit 65")

    for folder in ("tasks", "models"):
        shutil.copytree(assets.prepared / folder, tmp_path / "prepared" / folder)
    done = drift("--prepared", str(tmp_path / "prepared"))
    assert done.exit_code == 0, done.output
    (processor,) = tmp_path.glob("prepared/processors/*.txt")
    assert processor.read_text() == model_key(spec.model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "images-network-haed"], "did you mean 'images-network-head'"),
        (["--benchmark", "other"], "unknown benchmark"),
        (["--output", "{results}"], "it holds the results of then"),
        (["--margin", "0"], "--margin 0.0: allowed: a number above 0"),
        (["--loss-margin", "nan"], "--loss-margin nan: allowed: a number above 0"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    assets: Assets,
    tmp_path: Path,
    drift: Drifting,
    quiet_process: None,
) -> None:
    results = tmp_path / "results"
    assets.run(assets.specification("head"), results)
    done = drift(*(part.format(results=results) for part in arguments))
    assert done.exit_code == EXIT_CONFIGURATION
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_a_folder_without_results_is_one_line(tmp_path: Path, drift: Drifting) -> None:
    done = drift()
    assert done.exit_code == EXIT_CONFIGURATION
    assert done.stderr == f"{tmp_path / 'results'}: no results, it has no folder 'runs'\n"
