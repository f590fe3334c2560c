"""Runs that share GPUs: what each asks for, and what its record says. The GPUs are pretended."""

from typing import Any

import pytest

from analysis.comparability import cost_fields, fingerprint_fields
from finegrid.problems import ConfigurationError
from finegrid.records.prediction import Prediction, Question
from finegrid.records.training import Training
from finegrid.training.measure.traces import Traces
from finegrid.training.processes.devices import PARTS
from tests.workflow.forecast.place import Place, recorded
from workflow import sharing
from workflow.pipeline import Pipeline
from workflow.sharing import gpu_parts, needed_share

GIGABYTE = 1_000_000_000


def training(**changes: Any) -> Training:
    return Training.model_validate({"learning_rate": 1, "epochs": 1, "batch_size": 8} | changes)


@pytest.mark.parametrize(
    ("changes", "attempt", "parts"),
    [
        ({}, 1, 0),
        ({"device": "cuda"}, 1, PARTS),
        ({"device": "cuda", "devices": 4}, 2, 4 * PARTS),
        ({"device": "cuda", "devices": 4, "nodes": 2}, 1, 2 * PARTS),
        ({"device": "cuda", "runs_per_device": 4}, 1, PARTS // 4),
        ({"device": "cuda", "runs_per_device": 4}, 3, 3 * PARTS // 4),
        ({"device": "cuda", "runs_per_device": 2}, 3, PARTS),
        ({"device": "cuda", "runs_per_device": "auto"}, 1, PARTS // 10),
        ({"device": "cuda", "runs_per_device": "auto"}, 2, PARTS // 5),
    ],
)
def test_a_run_asks_for_all_parts_of_its_gpus_or_for_a_share(
    changes: dict[str, Any], attempt: int, parts: int
) -> None:
    assert gpu_parts(training(**changes), attempt, lambda: 0.1) == parts


def test_a_share_is_the_predicted_memory_with_some_more_of_that_of_the_device() -> None:
    assert needed_share(8 * GIGABYTE, 80 * GIGABYTE) == pytest.approx((1 + 1.25 * 8) / 80)
    assert needed_share(None, 80 * GIGABYTE) == needed_share(8 * GIGABYTE, None) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "runs_per_device: 2 with devices: 1 of cpu; allowed: 1, or 1 device of cuda"),
        ({"device": "cuda", "devices": 2}, "runs_per_device: 2 with devices: 2 of cuda"),
    ],
)
def test_runs_share_nothing_but_one_gpu(
    place: Place, small: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        place.pipeline(training=small["training"] | {"runs_per_device": 2} | changes)


def shared(place: Place, small: dict[str, Any], value: Any) -> tuple[Pipeline, str]:
    """The small benchmark on such a GPU, and the first of its runs."""
    changes = {"device": "cuda", "runs_per_device": value}
    pipeline = place.pipeline(training=small["training"] | changes)
    return pipeline, next(iter(pipeline.runs))


def test_what_a_run_shares_is_what_a_trace_predicts_of_its_cell(
    place: Place, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a trace it is a bound by arithmetic, beside what any process takes."""
    monkeypatch.setattr(sharing, "smallest_memory_bytes", lambda: 8 * GIGABYTE)
    pipeline, run = shared(place, small, "auto")
    bound = pipeline.run_gpu_parts(run, 1)
    assert PARTS / 8 < bound < PARTS / 4
    spec = pipeline.runs[run]
    batch = spec.training.batch_size, 1
    kept = Question(spec=spec, batch=batch)
    Traces(place.results / "prepared").keep(kept, Prediction(peak_bytes=4 * GIGABYTE))
    again, _ = shared(place, small, "auto")
    assert again.run_gpu_parts(run, 1) == round(PARTS * (1 + 1.25 * 4) / 8)
    assert (again.shares_gpus, again.most_gpus) == (True, 1)


def test_where_no_memory_is_known_a_run_takes_a_device_for_itself(
    place: Place, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "smallest_memory_bytes", lambda: None)
    pipeline, run = shared(place, small, "auto")
    assert pipeline.run_gpu_parts(run, 1) == PARTS


def test_shared_times_compare_with_no_others_and_scores_do(
    place: Place, small: dict[str, Any]
) -> None:
    alone, run = shared(place, small, 1)
    assert not alone.shares_gpus
    four, other = shared(place, small, 4)
    assert run != other
    records = [recorded(one.runs[name], "0" * 64) for one, name in ((alone, run), (four, other))]
    assert len({str(fingerprint_fields(one)) for one in records}) == 1
    costs = [cost_fields(one) for one in records]
    assert costs[1] == costs[0] | {"runs_per_device": "4"}
