"""Why a run would run: each reason, made to hold alone."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis.errors import AnalysisError
from finegrid.records.result import FAILURE_FILE, RESULT_FILE
from tests.workflow.forecast.place import Place, weights
from workflow.forecast.status import Status
from workflow.pipeline import Pipeline

Content = dict[str, Any]


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


def test_so_are_other_weights_of_the_model(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    place.prepare(pipeline, weight=0.25)
    assert reasons(pipeline) == {"data"}


def test_the_head_is_no_part_of_the_model(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    for run, spec in pipeline.jobs.items():
        other = weights(spec) | {"head.bias": np.ones(10, np.float32)}
        save_file(other, Path(pipeline.run_model(run)).with_name("model.safetensors"))
    assert reasons(pipeline) == {None}


@pytest.mark.parametrize("set_to", [0, 2**32], ids=["back", "forward"])
def test_the_times_of_files_say_nothing(place: Place, set_to: int) -> None:
    """As where a folder is copied: to Snakemake the content of what was read counts as well."""
    pipeline = place.finish(place.pipeline())
    for run in pipeline.jobs:
        os.utime(place.results / "runs" / run / RESULT_FILE, (set_to, set_to))
    assert reasons(pipeline) == {None}


def test_a_record_that_ended_before_it_read_them_says_nothing_of_them(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    unread = {"data_sha256": None, "model_sha256": None}
    ended = {"state": "oom", "reason": "memory ran out", "metrics": None, "parameters": None}
    for run in pipeline.jobs:
        place.record(pipeline, run, provenance=unread, **ended)
    place.prepare(pipeline, sha256="f" * 64, weight=0.25)
    assert reasons(pipeline) == {None}


def test_a_manifest_that_is_none_is_an_error_that_names_it(place: Place) -> None:
    pipeline = place.finish(place.pipeline())
    path = Path(pipeline.run_model(next(iter(pipeline.jobs))))
    path.write_text("{}")
    with pytest.raises(AnalysisError, match=re.escape(str(path))):
        _ = Status(pipeline).reasons


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"none")])
def test_weights_that_cannot_be_read_are_not_compared(
    place: Place, damage: Callable[[Path], object]
) -> None:
    pipeline = place.finish(place.pipeline())
    assert Status(pipeline).unchecked_models == ()
    damage(Path(pipeline.run_model(next(iter(pipeline.jobs)))).with_name("model.safetensors"))
    assert reasons(pipeline) == {None}
    assert Status(pipeline).unchecked_models == ("network",)


def test_rounded_weights_are_compared_by_those_who_load_them(place: Place) -> None:
    training = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01}
    half = {"dtype": "bf16", "weights": "bf16"}
    pipeline = place.finish(place.pipeline(training=training | half))
    for run in pipeline.jobs:
        place.record(pipeline, run, provenance={"model_sha256": "d" * 64})
    assert reasons(pipeline) == {None}
    assert Status(pipeline).unchecked_models == ("network",)


@pytest.mark.parametrize(("pinned", "unchecked"), [(False, ("tiny",)), (True, ())])
def test_a_transformer_is_compared_by_what_its_source_pins(
    place: Place, small: Content, pinned: bool, unchecked: tuple[str, ...]
) -> None:
    """What the library makes of its weights is known to those who load them."""
    tiny = small["models"]["tiny"]
    if pinned:
        source = {"uri": "hub:someone/tiny", "revision": "0" * 40}
        configuration = tiny["configuration"]
        tiny = {"kind": "checkpoint", "source": source, "configuration": configuration}
    grid = {"tasks": ["words"], "models": ["tiny"], "variants": {"full": {"method": "full"}}}
    training = small["training"] | {"max_length": 32}
    pipeline = place.pipeline(models={"tiny": tiny}, grids=[grid], training=training)
    assert Status(pipeline).unchecked_models == ()
    place.finish(pipeline)
    assert reasons(pipeline) == {None}
    assert Status(pipeline).unchecked_models == unchecked


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


def own_data(folder: Path, content: str) -> Content:
    """A task and a tokenizer of the user's own, with that content."""
    for name in ("train", "validation"):
        path = folder / "data" / "sst2" / f"{name}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    source = {"uri": f"path:{folder}/data"}
    return {"own": {"task": "glue", "source": source, "options": {"subset": "sst2"}}}


def test_edited_data_are_the_reason_where_nothing_else_differs(
    place: Place, small: Content
) -> None:
    training = small["training"] | {"max_length": 32}
    grid = {"tasks": ["own"], "models": ["tiny"], "variants": {"full": {"method": "full"}}}
    content = {"tasks": own_data(place.folder, "one"), "grids": [grid], "training": training}
    place.finish(place.pipeline(**content, models={"tiny": small["models"]["tiny"]}))
    own_data(place.folder, "two")
    assert reasons(place.pipeline()) == {"data"}
    assert reasons(place.pipeline(training=training | {"epochs": 2})) == {"specification"}
    own_data(place.folder, "one")
    assert reasons(place.pipeline(training=training)) == {None}
