"""Traced peaks against measured ones: of runs made here, and of the committed records."""

import gc
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from finegrid.records import result as module
from finegrid.records.prediction import Prediction, Question
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Checkpoint, Source
from finegrid.records.tuning import effective
from finegrid.training.measure.live import LiveBytes
from finegrid.training.measure.prediction import main, predict, with_prediction
from finegrid.training.measure.traces import Traces
from tests.training.assets import Assets

REFERENCE = Path(module.__file__).parents[2] / "results" / "reference" / "runs"
TOLERANCE = 0.04
"""Of the measured peak. These models are so small that a single tensor is a few in a hundred."""


@pytest.mark.parametrize(
    ("model", "method", "settings"),
    [
        ("network", "full", {}),
        ("network", "lora", {"targets": ["linear"]}),
        ("bert", "full", {}),
        ("bert", "adapter", {}),
        ("bert", "vera", {"rank": 8}),
        ("bert", "peft:lora", {}),
        ("bert", "peft:hira", {}),
    ],
)
def test_a_trace_predicts_what_the_probe_measures(
    assets: Assets, tmp_path: Path, model: str, method: str, settings: dict[str, Any]
) -> None:
    spec = assets.specification(method, model=model, settings=settings)
    memory = assets.run(spec, tmp_path).memory
    assert memory is not None
    found = predict(Question(spec=spec, batch=memory.batch))
    assert found.peak_bytes == pytest.approx(memory.peak_training_bytes, rel=TOLERANCE)


@pytest.mark.parametrize(
    "training",
    [
        {"gradient_checkpointing": True},
        {"micro_batch_units": 64},
        {"label_smoothing": 0.1},
        {"micro_batch_size": 4, "optimizer": {"name": "sgd"}, "dropout": 0.3},
    ],
)
def test_so_it_does_for_other_ways_of_training(
    assets: Assets, tmp_path: Path, training: dict[str, Any]
) -> None:
    spec = assets.specification("full", model="bert", **training)
    memory = assets.run(spec, tmp_path).memory
    assert memory is not None
    told = with_prediction(memory, spec, Traces(tmp_path / "traces"))
    assert told.predicted_peak_bytes == pytest.approx(memory.peak_training_bytes, rel=TOLERANCE)
    assert told.predicted_reason is None
    unchanged = {"predicted_peak_bytes": None}
    assert told.model_copy(update=unchanged) == memory.model_copy(update=unchanged)


def test_the_committed_peaks_of_large_models_are_predicted() -> None:
    """One record of each method on a transformer: of another day's machine and source."""
    records = [Result.read(path) for path in sorted(REFERENCE.glob(f"*/{RESULT_FILE}"))]
    chosen = {
        one.spec.variant.method: one
        for one in records
        if one.memory is not None and one.spec.model.kind == "checkpoint"
    }
    assert len(chosen) >= 4
    for one in chosen.values():
        assert one.memory is not None
        found = predict(Question(spec=effective(one), batch=one.memory.batch))
        assert found.peak_bytes == pytest.approx(one.memory.peak_training_bytes, rel=0.01)


def test_a_step_that_needs_numbers_is_not_predictable(
    assets: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = assets.specification("full")
    monkeypatch.setattr(
        "finegrid.training.measure.prediction.make_optimizer",
        lambda model, training: torch.ones(1).item(),
    )
    found = predict(Question(spec=spec, batch=(16, 1)))
    assert found.peak_bytes is None
    assert str(found.reason).startswith("not predictable: DataDependentOutputException")
    assert gc.get_freeze_count() == 0, "the collector sees again what a trace hides from it"


@pytest.mark.parametrize(
    "wanted",
    [
        lambda: torch.ones(1).item(),
        lambda: torch.ones(1).tolist(),
        lambda: torch.ones(1).numpy(),
        lambda: torch.ones(1).nonzero(),
        lambda: bool(torch.ones(1)),
    ],
)
def test_what_tracing_alone_cannot_do_is_no_error_of_the_run(
    assets: Assets, monkeypatch: pytest.MonkeyPatch, wanted: Any
) -> None:
    monkeypatch.setattr(
        "finegrid.training.measure.prediction.make_optimizer", lambda model, training: wanted()
    )
    found = predict(Question(spec=assets.specification("full"), batch=(16, 1)))
    assert str(found.reason).startswith("not predictable: ")
    assert not found.run_fails


def test_a_step_that_fails_is_an_error_of_the_run(
    assets: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = assets.specification("prompt", model="bert", settings={"length": 60})
    found = predict(Question(spec=spec, batch=(16, 20)))
    assert found.run_fails
    assert found.reason == (
        "the run fails: ValueError: prompt and sequence take 80 positions, the model has 64"
    )
    wrong = "finegrid.training.measure.prediction.make_optimizer"
    monkeypatch.setattr(wrong, lambda *_: torch.mm(torch.ones(2, 3), torch.ones(2, 3)))
    assert predict(Question(spec=assets.specification("full"), batch=(16, 1))).run_fails


def test_what_a_recurrent_layer_keeps_for_itself_is_not_guessed(assets: Assets) -> None:
    """cuDNN takes four times its weights to work in, of which a trace sees nothing."""
    spec = assets.specification("p-tuning", model="bert", settings={"encoder": "lstm"})
    found = predict(Question(spec=spec, batch=(16, 20)))
    assert found.peak_bytes is None
    assert str(found.reason).startswith("not predictable: NotTracedError: what recurrent layers")
    spec = assets.specification("p-tuning", model="bert", settings={"encoder": "mlp"})
    assert predict(Question(spec=spec, batch=(16, 20))).peak_bytes


def test_what_a_repository_s_configuration_leaves_out_is_no_error(assets: Assets) -> None:
    spec = assets.specification("prompt", model="bert", settings={"length": 60})
    source = Source(uri="hub:someone/model", revision="0" * 40)
    configuration = spec.model.configuration
    hub = Checkpoint(kind="checkpoint", name="hub", source=source, configuration=configuration)
    found = predict(Question(spec=spec.model_copy(update={"model": hub}), batch=(16, 20)))
    assert not found.run_fails
    assert str(found.reason).startswith("not predictable: ValueError: prompt and sequence take")


def test_a_trace_draws_no_random_number(assets: Assets) -> None:
    state = torch.get_rng_state()
    predict(Question(spec=assets.specification("adapter", model="bert"), batch=(16, 20)))
    assert torch.equal(state, torch.get_rng_state())


def test_live_bytes_follow_storages_not_tensors() -> None:
    meter = LiveBytes()
    with meter:
        first = torch.empty(100)
        view = first.view(10, 10)
        second = torch.empty(50, dtype=torch.float64)
        del first
        assert (meter.live, meter.peak) == (400 + 400, 800)
        del view
        assert (meter.live, meter.peak) == (400, 800)
    assert second.numel() == 50


def test_live_bytes_are_rounded_to_the_blocks_of_a_device() -> None:
    meter = LiveBytes(rounding=512)
    with meter:
        kept = [torch.empty(1), torch.empty(128), torch.empty(129)]
    assert len(kept) == 3
    assert meter.live == 512 + 512 + 1024


def test_questions_of_a_line_each_are_answered_in_order(
    assets: Assets, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = assets.specification("full")
    questions = [Question(spec=spec, batch=(size, 1)) for size in (8, 16)]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(_line, questions))))
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Prediction.model_validate_json(line) for line in lines] == list(map(predict, questions))
    assert json.loads(lines[0])["peak_bytes"] < json.loads(lines[1])["peak_bytes"]


def _line(question: Question) -> str:
    return question.model_dump_json()
