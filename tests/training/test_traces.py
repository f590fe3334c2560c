"""Traces are kept by all that decides them: each step is traced once for all that ask."""

from pathlib import Path
from typing import Any

import pytest

from finegrid.records.prediction import Prediction, Question
from finegrid.training.measure import costs, prediction
from finegrid.training.measure.prediction import with_prediction
from finegrid.training.measure.traces import FOLDER, Traces
from tests.training.assets import Assets

ANSWER = Prediction(peak_bytes=1234)


class Asked(list[Question]):
    """Answers each question, and remembers it."""

    def __call__(self, question: Question) -> Prediction:
        self.append(question)
        return ANSWER


def question(assets: Assets, method: str = "full", seed: int = 0, **training: Any) -> Question:
    return Question(spec=assets.specification(method, seed=seed, **training), batch=(16, 1))


def test_the_seeds_of_a_cell_share_a_trace(assets: Assets, tmp_path: Path) -> None:
    asked = Asked()
    for seed in range(3):
        assert Traces(tmp_path).asked(question(assets, seed=seed), asked) == ANSWER
    assert len(asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"method": "head"},
        {"optimizer": {"name": "sgd"}},
        {"dtype": "bf16"},
        {"gradient_checkpointing": True},
        {"micro_batch_size": 8},
        {"label_smoothing": 0.1},
    ],
    ids=str,
)
def test_another_step_has_a_trace_of_its_own(
    assets: Assets, tmp_path: Path, other: dict[str, Any]
) -> None:
    traces = Traces(tmp_path)
    names = {traces.name(question(assets)), traces.name(question(assets, **other))}
    assert len(names) == 2


def test_a_kept_trace_whose_bytes_have_changed_is_made_again(
    assets: Assets, tmp_path: Path
) -> None:
    asked, traces = Asked(), Traces(tmp_path)
    traces.asked(question(assets), asked)
    (file,) = (tmp_path / FOLDER).iterdir()
    file.write_text(file.read_text().replace("1234", "1235"))
    assert traces.asked(question(assets), asked) == ANSWER
    assert len(asked) == 2
    assert traces.known(question(assets)) == ANSWER


def test_runs_of_a_cell_record_one_trace(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a step that no other test takes, in two results folders with one folder prepared."""
    optimizer = {"epsilon": 1.25e-8}
    specs = [assets.specification(seed=seed, optimizer=optimizer) for seed in (7, 8)]
    asked = Asked()
    monkeypatch.setattr(prediction, "predict", asked)
    monkeypatch.setattr(costs, "with_prediction", with_prediction)
    memories = [assets.run(spec, tmp_path / str(spec.seed)).memory for spec in specs]
    assert [one and one.predicted_peak_bytes for one in memories] == [1234, 1234]
    assert len(asked) == 1


def test_a_folder_that_takes_no_trace_costs_no_run(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FOLDER).write_text("no folder")
    assert Traces(tmp_path).asked(question(assets), Asked()) == ANSWER
    assert "the trace of the step is not kept: " in caplog.text
