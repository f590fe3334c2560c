"""What a plan of many runs costs, counted and not timed: work grows with the runs, no faster."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from analysis.collect import collect
from analysis.comparisons.pairs import pair_rows
from analysis.reading import read_record
from analysis.summary import summarise
from analysis.tables import write_tables
from finegrid.records.identity import file_sha256, short_hash
from finegrid.records.result import HISTORY_FILE, PREDICTIONS_FILE
from finegrid.records.source import source_digest
from measurements.measure import measured
from measurements.synthetic import ITEMS, Shape, content, plan_of, write_benchmark, write_results
from tests.small import Snakemake
from workflow.digests import _run_digest as of_run_digests
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
    with counted("finegrid.records.specification.short_hash", short_hash) as calls:
        planned = plan_of(shape)
    assert len(planned.runs) == shape.runs == len(calls)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_runs_share_is_hashed_once(shape: Shape) -> None:
    pipeline = Pipeline.plan_from(content(shape))
    of_run_digests.cache_clear()
    with (
        counted("finegrid.records.specification.short_hash", short_hash) as hashes,
        counted("finegrid.records.source.source_digest", source_digest) as digests,
    ):
        for run in pipeline.jobs:
            pipeline.run_task(run), pipeline.run_model(run), pipeline.run_digest(run)
    assert len(hashes) == shape.tasks + shape.models
    assert len(digests) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_encodings_are_hashed_once_and_shared_by_all_that_read_them(shape: Shape) -> None:
    pipeline = Pipeline.plan_from(content(shape))
    with counted("finegrid.records.encoded.short_hash", short_hash) as hashes:
        read = {one for run in pipeline.jobs for one in pipeline.run_encodings(run)}
    assert len(read) == shape.tasks  # of rows of numbers: models have no say
    assert len(hashes) <= 3 * shape.tasks * shape.models


@pytest.mark.parametrize("shape", SHAPES)
def test_collecting_reads_each_record_and_each_file_beside_it_once(
    shape: Shape, tmp_path: Path
) -> None:
    planned = plan_of(shape)
    write_results(planned, tmp_path)
    with (
        counted("analysis.collect.read_record", read_record) as records,
        counted("finegrid.records.result.file_sha256", file_sha256) as hashes,
    ):
        frame = collect(planned, tmp_path)
    assert sorted(path.parent.name for _, path in records) == sorted(planned.runs)
    hashed = [(path.parent.name, path.name) for (path,) in hashes]
    assert sorted(hashed) == sorted(product(planned.runs, (HISTORY_FILE, PREDICTIONS_FILE)))
    assert list(frame["run"]) == list(planned.runs)
    assert set(frame["state"]) == {"ok"}


def test_synthetic_runs_have_predictions_that_give_their_scores(tmp_path: Path) -> None:
    planned = plan_of(SHAPES[0])
    write_results(planned, tmp_path)
    rows = pair_rows(collect(planned, tmp_path), tmp_path)
    assert len(rows) == 6
    assert set(rows["n_items"]) == {ITEMS}
    assert rows[["p_value", "bootstrap_low", "probability_flip"]].notna().all(axis=None)


def test_the_three_tables_are_made_of_one_summary(tmp_path: Path) -> None:
    planned = plan_of(SHAPES[0])
    write_results(planned, tmp_path / "runs")
    frame = collect(planned, tmp_path / "runs")
    with counted("analysis.cells.summarise", summarise) as calls:
        write_tables(frame, tmp_path / "table")
    assert len(calls) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_benchmark(SHAPES[0], tmp_path / "scale.yaml")
    return tmp_path


@pytest.mark.thorough("test_planning_hashes_each_run_once")
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


def test_a_measurement_tells_work_from_waiting_and_sees_the_peak(tmp_path: Path) -> None:
    code = """
import time
held = b"1" * 100_000_000
while time.process_time() < 0.5:
    pass
time.sleep(0.5)
"""
    usage = measured([sys.executable, "-c", code], tmp_path)
    assert usage.processor_seconds >= 0.5
    assert usage.wall_seconds >= usage.processor_seconds + 0.4
    assert 100e6 < usage.peak_bytes < 300e6
