"""Peaks of cells: traced in a process of its own, kept by content, else bounded by arithmetic."""

from pathlib import Path

import pytest

from finegrid.records.prediction import Prediction, Question
from finegrid.records.result import Result
from tests.workflow.forecast.place import Place, recorded
from workflow.forecast import memory
from workflow.forecast.memory import Tracer, peaks
from workflow.forecast.record import Peak
from workflow.pipeline import Pipeline

PARAMETERS = 784 * 16 + 16 + 16 * 8 + 8 + 8 * 10 + 10
Asked = list[Question]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The questions that reach the process; each is answered with the size of its batch."""
    reached: Asked = []

    def answer(questions: Asked) -> list[Prediction]:
        reached.extend(questions)
        return [Prediction(peak_bytes=one.batch[0]) for one in questions]

    monkeypatch.setattr(memory, "_traced", answer)
    return reached


def found(pipeline: Pipeline, records: list[Result], tracer: Tracer | None) -> list[Peak]:
    return list(peaks(pipeline.plan.cells, records, tracer, pipeline.anatomies).values())


def tuning(*batch_sizes: int) -> dict[str, object]:
    return {"seed": 9, "learning_rates": 2, "others": {"batch_size": list(batch_sizes)}}


def probed(pipeline: Pipeline, batch: tuple[int, int], peak: int) -> list[Result]:
    """A record of each run with that probe."""
    records = [recorded(spec, "0" * 64) for spec in pipeline.runs.values()]
    changes = {"batch": batch, "peak_training_bytes": peak}
    probes = [one.memory.model_copy(update=changes) for one in records if one.memory]
    return [one.model_copy(update={"memory": m}) for one, m in zip(records, probes, strict=True)]


def test_a_step_is_traced_once_however_often_it_is_asked_for(
    place: Place, asked: Asked, tmp_path: Path
) -> None:
    for seeds in ([0, 1], [2, 3]):
        for peak in found(place.pipeline(seeds=seeds), [], Tracer(tmp_path)):
            assert (peak.predicted_bytes, peak.instrument, peak.reason) == (32, "trace", None)
    assert {one.spec.variant.name for one in asked} == {"full", "lora-r2"}
    assert len(asked) == 2


def test_another_batch_is_another_step(place: Place, asked: Asked, tmp_path: Path) -> None:
    for size in (32, 16):
        training = {"epochs": 1, "batch_size": size, "learning_rate": 0.01}
        found(place.pipeline(training=training), [], Tracer(tmp_path))
    assert sorted(one.batch for one in asked) == [(16, 1), (16, 1), (32, 1), (32, 1)]


def test_a_micro_batch_among_others_is_another_step(
    place: Place, asked: Asked, tmp_path: Path
) -> None:
    """Of 16 examples as a batch is; its gradients meet those of an earlier one."""
    plain = {"epochs": 1, "learning_rate": 0.01, "batch_size": 16}
    parts = plain | {"batch_size": 32, "micro_batch_size": 16}
    for training in (plain, parts, parts | {"batch_size": 64}):
        found(place.pipeline(training=training), [], Tracer(tmp_path))
    assert [one.batch for one in asked] == [(16, 1)] * 4
    records = probed(place.pipeline(training=plain), (16, 1), 5)
    peaks_of_parts = found(place.pipeline(training=parts), records, None)
    assert {peak.measured_bytes for peak in peaks_of_parts} == {None}


def test_a_step_that_had_to_shrink_was_measured_as_it_was_taken(place: Place) -> None:
    shrunk = [
        one.model_copy(update={"micro_batch_size": 8})
        for one in probed(place.pipeline(), (8, 1), 8_000)
    ]
    training = {"epochs": 1, "learning_rate": 0.01, "batch_size": 32, "micro_batch_size": 8}
    for peak in found(place.pipeline(training=training), shrunk, None):
        assert (peak.batch, peak.measured_bytes) == ((8, 1), 8_000)


def test_the_largest_recorded_batch_is_asked_for_and_compared(
    place: Place, asked: Asked, tmp_path: Path
) -> None:
    pipeline = place.pipeline()
    records = probed(pipeline, (31, 1), 31_000)
    for peak in found(pipeline, records, Tracer(tmp_path)):
        assert peak == Peak(
            batch=(31, 1),
            measured_batch=True,
            predicted_bytes=31,
            instrument="trace",
            measured_bytes=31_000,
        )


def test_what_was_measured_of_another_step_is_no_measure(place: Place, tmp_path: Path) -> None:
    plain = place.pipeline()
    records = probed(plain, (32, 1), 5)
    training = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01, "dtype": "bf16"}
    assert {p.measured_bytes for p in found(place.pipeline(training=training), records, None)} == {
        None
    }


def test_the_choice_of_a_tuning_that_takes_most_counts(
    place: Place, asked: Asked, tmp_path: Path
) -> None:
    """And not the 32 examples that stand where nothing is tuned."""
    pipeline = place.pipeline(tuning=tuning(8, 64, 16))
    for peak in found(pipeline, [], Tracer(tmp_path)):
        assert (peak.batch, peak.predicted_bytes, peak.instrument) == ((64, 1), 64, "trace")
    assert sorted(one.batch[0] for one in asked) == [8, 8, 16, 16, 64, 64]
    bounds = found(pipeline, [], None)
    alone = found(place.pipeline(tuning=tuning(64)), [], None)
    assert [one.predicted_bytes for one in bounds] == [one.predicted_bytes for one in alone]


def test_a_tuned_run_was_measured_with_what_it_chose(place: Place, tmp_path: Path) -> None:
    """The first candidate is what every record of a place has chosen."""
    pipeline = place.pipeline(tuning=tuning(64, 8))
    for peak in found(pipeline, probed(pipeline, (63, 1), 63_000), None):
        assert (peak.batch, peak.measured_batch, peak.measured_bytes) == ((63, 1), True, 63_000)


def test_a_micro_batch_that_had_to_shrink_is_not_the_largest(place: Place) -> None:
    pipeline = place.pipeline()
    records = probed(pipeline, (8, 1), 8_000)
    shrunk = [one.model_copy(update={"micro_batch_size": 8}) for one in records]
    for peak in found(pipeline, shrunk, None):
        assert (peak.batch, peak.measured_batch, peak.measured_bytes) == ((32, 1), False, None)


def test_what_cannot_be_traced_is_bounded_and_says_why(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lost = Prediction(peak_bytes=None, reason="not predictable: SomeError")
    monkeypatch.setattr(memory, "_traced", lambda questions: [lost] * len(questions))
    for peak in found(place.pipeline(), [], Tracer(tmp_path)):
        assert (peak.instrument, peak.reason) == ("bound", "not predictable: SomeError")
        assert peak.predicted_bytes is not None
        assert peak.predicted_bytes > 4 * PARAMETERS


def test_a_choice_of_a_tuning_that_fails_is_the_cell_s_error(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answer(questions: Asked) -> list[Prediction]:
        wrong = Prediction(peak_bytes=None, reason="the run fails: E", run_fails=True)
        small = [one.batch[0] == 8 for one in questions]
        return [wrong if is_small else Prediction(peak_bytes=10**12) for is_small in small]

    monkeypatch.setattr(memory, "_traced", answer)
    for peak in found(place.pipeline(tuning=tuning(64, 8)), [], Tracer(tmp_path)):
        assert (peak.run_fails, peak.reason) == (True, "the run fails: E")


def test_a_process_that_dies_leaves_questions_open(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    for peak in found(place.pipeline(), [], Tracer(tmp_path)):
        assert peak.instrument == "bound"
        assert "the trace ended with exit code 1" in str(peak.reason)


def test_the_process_traces_a_network_to_its_closed_form(place: Place, tmp_path: Path) -> None:
    """In the step of AdamW live weights, gradients, two states and a counter for each tensor."""
    added, head = 2 * (784 + 16) + 2 * (16 + 8), 8 * 10 + 10
    trained = {"full": PARAMETERS, "lora-r2": added + head}
    weights = {"full": PARAMETERS, "lora-r2": PARAMETERS + added}
    activations = 4 * 32 * (784 + 2 * 16 + 2 * 8 + 10)
    for name, peak in zip(trained, found(place.pipeline(), [], Tracer(tmp_path)), strict=True):
        fixed = 4 * weights[name] + 12 * trained[name] + 4 * 6
        assert peak.predicted_bytes is not None
        assert fixed <= peak.predicted_bytes <= fixed + activations
