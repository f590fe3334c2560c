"""Times come from records: of the same cell, else of others by their work, else of none."""

from typing import Any

import pytest

from finegrid.models.anatomies import Anatomies
from finegrid.records.costs import Time
from finegrid.records.result import Result
from finegrid.records.specification import Specification
from tests.workflow.forecast.place import Place, recorded
from workflow.forecast.hours import Duration, Timings

Changed = dict[str, Any]


@pytest.fixture
def spec(place: Place) -> Specification:
    """784-16-8-10: 12,560 + 136 + 90 parameters; one epoch, one evaluation."""
    return next(iter(place.pipeline().runs.values()))


def timed(spec: Specification, train: float, evaluate: float, **changes: Any) -> Result:
    time = Time(
        setup_seconds=0.5,
        train_seconds=train,
        evaluate_seconds=evaluate,
        step_median_seconds=0.1,
        step_p95_seconds=0.1,
        tokens_per_second=None,
        examples_per_second=1.0,
        steps=2,
    )
    return recorded(spec, "0" * 64, time=time, **changes)


def training(spec: Specification, **changes: Any) -> Specification:
    return spec.model_copy(update={"training": spec.training.model_copy(update=changes)})


def widths(spec: Specification, *layers: int) -> Specification:
    return spec.model_copy(update={"model": spec.model.model_copy(update={"layers": layers})})


def test_a_cell_takes_the_median_of_its_own_records(spec: Specification) -> None:
    seeds = [spec.model_copy(update={"seed": seed}) for seed in range(3)]
    records = [timed(one, train, 2.0) for one, train in zip(seeds, (10, 30, 11), strict=True)]
    wanted = training(spec.model_copy(update={"seed": 7}), learning_rate=0.5)
    assert Timings(records, Anatomies()).duration(wanted) == Duration(0.5 + 11 + 2, scaled=False)


def test_training_scales_with_epochs_and_evaluation_with_evaluations(spec: Specification) -> None:
    wanted = training(spec, epochs=3, evaluations=2)
    found = Timings([timed(spec, 10, 2)], Anatomies()).duration(wanted)
    assert found == Duration(0.5 + 3 * 10 + 2 * 2, scaled=True)


def test_both_scale_with_the_parameters(spec: Specification) -> None:
    # One layer of 784 x 10 + 10 numbers for three of 12,786.
    found = Timings([timed(spec, 10, 2)], Anatomies()).duration(widths(spec, 784, 10))
    assert found is not None
    assert found.seconds == pytest.approx(0.5 + (10 + 2) * 7850 / 12786)


def test_the_record_of_the_same_model_comes_before_that_of_another(spec: Specification) -> None:
    near, far = timed(spec, 10, 0), timed(widths(spec, 784, 4, 10), 1000, 0)
    found = Timings([far, near], Anatomies()).duration(training(spec, epochs=2))
    assert found == Duration(0.5 + 2 * 10, scaled=True)


def test_without_a_record_on_the_task_nothing_is_known(spec: Specification) -> None:
    other = spec.model_copy(update={"task": spec.task.model_copy(update={"name": "other"})})
    assert Timings([timed(other, 10, 2)], Anatomies()).duration(spec) is None
    assert Timings([], Anatomies()).duration(spec) is None


@pytest.mark.parametrize(
    "changes", [{"threads": 2}, {"dtype": "bf16"}, {"weights": "bf16"}, {"device": "cuda"}]
)
def test_nor_from_a_record_of_another_kind_of_work(spec: Specification, changes: Changed) -> None:
    assert Timings([timed(training(spec, **changes), 10, 2)], Anatomies()).duration(spec) is None


def test_a_record_that_did_not_end_ok_tells_no_time(spec: Specification) -> None:
    broken = timed(spec, 10, 2, state="diverged", reason="a loss", metrics=None)
    assert Timings([broken], Anatomies()).duration(spec) is None


@pytest.mark.parametrize(
    ("other", "seconds"),
    [
        ({"hostname": "another"}, (1000 + 10) / 2),
        ({"processor": "another"}, 10),
        ({"cores": 1000}, 10),
        ({"memory_bytes": 1}, 10),
        ({"accelerator": "another"}, 10),
        ({"system": "another", "hostname": "another"}, 10),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_the_kind_of_machine_that_ran_last_counts_whatever_its_name(
    spec: Specification, other: Changed, seconds: float
) -> None:
    """The nodes of a cluster differ by name alone."""
    old = timed(spec, 1000, 0, provenance={"started_at": "2020-01-01T00:00:00+00:00"})
    machine = old.provenance.machine.model_copy(update=other)
    new = timed(spec, 10, 0, provenance={"started_at": "2099-01-01", "machine": machine})
    assert Timings([new, old], Anatomies()).duration(spec) == Duration(0.5 + seconds, scaled=False)
