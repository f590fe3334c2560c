"""Why a run would run: each reason, made to hold alone."""

import os
import shutil
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from records.result import FAILURE_FILE, RESULT_FILE
from tests.workflow.forecast.place import Place
from workflow.forecast.status import Status
from workflow.pipeline import Pipeline


def reasons(pipeline: Pipeline) -> set[str | None]:
    return set(Status(pipeline).reasons.values())


def test_without_records_every_run_is_new(place: Place) -> None:
    assert reasons(place.pipeline()) == {"new"}


def test_with_every_record_none_would_run(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    assert len(Status(pipeline).reasons) == 4
    assert reasons(pipeline) == {None}


def test_another_learning_rate_is_another_specification_of_the_same_cell(place: Place) -> None:
    place.finish(place.pipeline())
    changed = place.pipeline(training={"epochs": 1, "batch_size": 32, "learning_rate": 0.02})
    assert reasons(changed) == {"specification"}


def test_another_seed_is_new(place: Place) -> None:
    place.finish(place.pipeline())
    more = place.pipeline(seeds=[0, 1, 2])
    found = Status(more).reasons
    assert {more.jobs[run].seed for run, why in found.items() if why == "new"} == {2}
    assert set(found.values()) == {None, "new"}


def test_a_failed_run_is_told_apart_from_a_new_one(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    run = next(iter(pipeline.jobs))
    path = place.results / "runs" / run / RESULT_FILE
    path.rename(path.with_name(FAILURE_FILE))
    assert Status(pipeline).reasons[run] == "failed"


def test_other_data_than_the_record_s_are_a_reason(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    place.prepare(pipeline, sha256="f" * 64)
    assert reasons(pipeline) == {"data"}


@pytest.mark.parametrize("room", ["tasks", "models"])
def test_so_is_a_task_or_a_model_that_is_not_prepared(place: Place, room: str) -> None:
    pipeline = place.finish(place.pipeline())
    shutil.rmtree(place.results / "prepared" / room)
    assert reasons(pipeline) == {"data"}


def test_so_is_a_model_that_was_prepared_after_the_record(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    for run in pipeline.jobs:
        os.utime(Path(pipeline.run_model(run)), (2**32, 2**32))
    assert reasons(pipeline) == {"data"}


def test_another_source_is_a_reason_for_the_runs_that_it_decides(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    run = next(iter(pipeline.jobs))
    place.record(pipeline, run, provenance={"source_digest": "0" * 64})
    found = Status(pipeline).reasons
    assert found.pop(run) == "source"
    assert set(found.values()) == {None}


def test_a_trial_that_would_run_takes_the_runs_of_its_cell_along(place: Place) -> None:
    pipeline = place.finish(place.pipeline(tuning={"seed": 9, "learning_rates": 2}))
    assert reasons(pipeline) == {None}
    cell = pipeline.plan.cells[0]
    trial = next(iter(cell.trials))
    (place.results / "runs" / trial / RESULT_FILE).unlink()
    found = Status(pipeline).reasons
    assert found.pop(trial) == "new"
    assert {run for run, why in found.items() if why == "tuning"} == set(cell.runs)
    assert set(found.values()) == {None, "tuning"}


def test_so_does_an_absent_choice(place: Place) -> None:
    pipeline = place.finish(place.pipeline(tuning={"seed": 9, "learning_rates": 2}))
    shutil.rmtree(place.results / "tuning")
    found = Status(pipeline).reasons
    assert {found[run] for run in pipeline.runs} == {"tuning"}
    assert {found[run] for run in pipeline.plan.trials} == {None}


def test_a_record_that_is_none_is_an_error_that_names_it(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    path = place.results / "runs" / next(iter(pipeline.jobs)) / RESULT_FILE
    path.write_text("{}")
    with pytest.raises(AnalysisError, match=path.parent.name):
        _ = Status(pipeline).reasons
