"""What a plan of many runs costs, counted and not timed: work grows with the runs, no faster."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from analysis.collect import collect
from analysis.summary import summarise
from analysis.tables import write_tables
from benchmarks.measure import measured
from benchmarks.synthetic import Shape, content, plan_of, write_benchmark, write_results
from records.identity import short_hash
from records.result import Result
from records.source import run_digest
from tests.workflow.conftest import Snakemake
from workflow import pipeline as module
from workflow.pipeline import Pipeline

SHAPES = [
    Shape(tasks=2, models=3, variants=2, seeds=4),
    Shape(tasks=2, models=3, variants=2, seeds=8),
    Shape(tasks=2, models=3, variants=4, seeds=4),
]


@contextmanager
def counted(target: str, function: Callable[..., Any]) -> Iterator[list[Any]]:
    """A list that grows with each call of what `target` names."""
    calls: list[Any] = []

    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    with patch(target, call):
        yield calls


@pytest.mark.parametrize("shape", SHAPES)
def test_planning_hashes_each_run_once(shape: Shape) -> None:
    with counted("records.specification.short_hash", short_hash) as calls:
        planned = plan_of(shape)
    assert len(planned.runs) == shape.runs == len(calls)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_runs_share_is_hashed_once(shape: Shape) -> None:
    pipeline = Pipeline.plan_from(content(shape))
    module._run_digest.cache_clear()
    with (
        counted("records.specification.short_hash", short_hash) as hashes,
        counted("workflow.pipeline.run_digest", run_digest) as digests,
    ):
        for run in pipeline.jobs:
            pipeline.run_task(run), pipeline.run_model(run), pipeline.run_digest(run)
    assert len(hashes) == shape.tasks + shape.models
    assert len(digests) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_collecting_reads_each_record_once(shape: Shape, tmp_path: Path) -> None:
    planned = plan_of(shape)
    write_results(planned, tmp_path)
    with counted("records.result.Result.read", Result.read) as calls:
        frame = collect(planned, tmp_path)
    assert sorted(path.parent.name for (path,) in calls) == sorted(planned.runs)
    assert list(frame["run"]) == list(planned.runs)
    assert set(frame["state"]) == {"ok"}


def test_the_three_tables_are_made_of_one_summary(tmp_path: Path) -> None:
    planned = plan_of(SHAPES[0])
    write_results(planned, tmp_path / "runs")
    frame = collect(planned, tmp_path / "runs")
    with counted("analysis.tables.summarise", summarise) as calls:
        write_tables(frame, tmp_path / "table")
    assert len(calls) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_benchmark(SHAPES[0], tmp_path / "scale.yaml")
    return tmp_path


@pytest.mark.parametrize(("batch", "planned"), [((), 48), (("--batch", "collect=1/3"), 16)])
def test_a_batch_plans_its_share_of_the_runs(
    batch: tuple[str, ...], planned: int, folder: Path, snakemake: Snakemake
) -> None:
    where = ("--configfile", str(folder / "scale.yaml"), "--workflow-profile", "none")
    done = snakemake("--dry-run", "--printshellcmds", *where, *batch, folder=folder)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    # Said before the jobs and after them.
    assert set(re.findall(r"^run +(\d+)$", said, re.MULTILINE)) == {str(planned)}
    commands = re.findall(r"^.*python -m .*$", said, re.MULTILINE)
    assert len(commands) > planned
    # A command that named all runs would one day be longer than the system allows.
    assert max(line.count("result.json") for line in commands) == 0


def test_a_measurement_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="all of it"):
        measured(["echo", "all of it"], tmp_path, "nothing")
    with pytest.raises(RuntimeError, match="no such thing"):
        measured(["sh", "-c", "echo no such thing; exit 3"], tmp_path)
    usage = measured(["echo", "something"], tmp_path, "some")
    assert usage.processor_seconds >= 0
    assert usage.wall_seconds > 0
