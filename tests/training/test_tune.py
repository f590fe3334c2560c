"""A tuned cell from its trials to its runs, and that no trial reads the test split."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from finegrid.records.prepared import SPLITS
from finegrid.records.result import (
    DELTA_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    SPECIFICATION_FILE,
    Choice,
    Result,
)
from finegrid.records.specification import Specification, Tuning
from finegrid.records.tuning import candidates, choice_file, effective, trial, tuned, tuning_key
from finegrid.training import provenance, tune
from finegrid.training.run import main
from tests.training.assets import Assets, read_history, run_folder, steps
from tests.training.interruptions import ask, interrupted


def tuned_specification(assets: Assets, rates: tuple[float, ...], **changed: Any) -> Specification:
    tuning = {"seed": 7, "grid": {"learning_rate": rates}, "ratio": 10.0} | changed
    spec = assets.specification()
    return spec.model_copy(update={"tuning": Tuning.model_validate(tuning)})


def placed(assets: Assets, folder: Path) -> Path:
    """A results folder in which the prepared models and tasks lie where the pipeline puts them."""
    shutil.copytree(assets.prepared, folder / "prepared")
    return folder


def run_trials(assets: Assets, spec: Specification, results: Path) -> list[Result]:
    assert spec.tuning is not None
    return [assets.run(trial(spec, values), results) for values in candidates(spec.tuning)]


def call(spec: Specification, results: Path) -> int:
    file = results / "cell.json"
    spec.write(file)
    return tune.main(["--spec", str(file), "--results", str(results)])


def test_a_cell_is_tuned_and_its_run_trains_with_the_choice(assets: Assets, tmp_path: Path) -> None:
    results = placed(assets, tmp_path)
    spec = tuned_specification(assets, (1e-5, 1e-2, 1e-1), training={"epochs": 2})
    trials = run_trials(assets, spec, results)
    assert call(spec, results) == 0
    choice = Choice.read(results / "tuning" / choice_file(spec))
    scores = [one.metrics.validation["accuracy"] for one in trials if one.metrics]
    assert [one.score for one in choice.trials] == scores
    assert len(scores) == 3
    top = max(one.value for one in scores)
    assert choice.standard_error is not None
    assert choice.standard_error == pytest.approx((top * (1 - top) / 21) ** 0.5)
    # Of the rates in ascending order the first that is close enough to the best one.
    best = next(at for at in range(3) if scores[at].value >= top - choice.standard_error)
    assert choice.chosen_run == trials[best].run

    result = assets.run(spec, results)
    assert (result.run, result.spec, result.tuning) == (spec.run, spec, choice)
    rate = trials[best].spec.training.learning_rate
    assert effective(result).training.learning_rate == rate
    # The same run with the learning rate given outright takes the same steps.
    given = tuned(spec, {"learning_rate": rate})
    plain = assets.run(given, tmp_path / "given")
    histories = [
        steps(read_history(run_folder(one, folder)))
        for one, folder in ((spec, results), (given, tmp_path / "given"))
    ]
    assert histories[0] == histories[1]
    assert plain.metrics == result.metrics


def test_a_trial_is_scored_on_validation_alone(assets: Assets, tmp_path: Path) -> None:
    results = placed(assets, tmp_path)
    spec = tuned_specification(assets, (1e-2,))
    one = trial(spec, {"learning_rate": 1e-2})
    (results / "prepared" / "encoded" / assets.encode(spec).name / "test.arrow").unlink()
    file = results / "trial.json"
    one.write(file)
    assert main(["--spec", str(file), "--results", str(results)]) == 0
    folder = results / "runs" / one.run
    result = Result.read(folder / RESULT_FILE)
    assert result.metrics is not None
    assert result.metrics.test == {}
    assert result.parameters is None
    names = {path.name for path in folder.iterdir()} - {".lock", "wandb"}
    assert names == {HISTORY_FILE, PREDICTIONS_FILE, SPECIFICATION_FILE, RESULT_FILE}


def test_a_run_reads_the_test_split_when_training_is_over_and_not_before(
    assets: Assets, tmp_path: Path
) -> None:
    """Without the file of the split, everything up to the final evaluation is as with it."""
    spec = assets.specification(evaluations=2)
    whole = assets.run(spec, tmp_path / "whole")
    results = placed(assets, tmp_path / "without")
    (results / "prepared" / "encoded" / assets.encode(spec).name / "test.arrow").unlink()
    file = results / "given.json"
    spec.write(file)
    assert main(["--spec", str(file), "--results", str(results)]) == 74
    histories = [read_history(run_folder(spec, place)) for place in (tmp_path / "whole", results)]
    assert steps(histories[0]) == steps(histories[1])
    scores = [[event for event in history if "validation" in event] for history in histories]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2
    assert whole.time is not None
    assert len(steps(histories[1])) == whole.time.steps
    assert not (run_folder(spec, results) / DELTA_FILE).exists()
    assert set(SPLITS) == {"train", "validation", "test"}


def test_a_trial_is_told_when_the_tuning_is_to_end(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = f"""
import pathlib, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: sys.exit(75))
assert sys.stdin.read() == "text"
pathlib.Path({str(ready)!r}).touch()
signal.pause()
"""

    def ask_when_ready() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    asking = threading.Thread(target=ask_when_ready)
    asking.start()
    assert tune._run_trial([sys.executable, "-c", code], b"text") == 75
    asking.join()


@pytest.mark.parametrize("grow", [True, False])
def test_a_grid_grows_once_beyond_the_edge_that_does_best(
    assets: Assets, tmp_path: Path, grow: bool
) -> None:
    results = placed(assets, tmp_path)
    # Of two learning rates the better one always lies at an edge.
    spec = tuned_specification(assets, (1e-3, 1e-2), grow=grow)
    trials = run_trials(assets, spec, results)
    low, high = (one.metrics.validation["accuracy"].value for one in trials if one.metrics)
    assert call(spec, results) == 0
    choice = Choice.read(results / "tuning" / choice_file(spec))
    assert choice.grown == grow
    rates = [one.values["learning_rate"] for one in choice.trials]
    beyond = [1e-3, 1e-2, 1e-1] if high > low else [1e-4, 1e-3, 1e-2]
    assert rates == (beyond if grow else [1e-3, 1e-2])
    for one in choice.trials:
        result = Result.read(results / "runs" / one.run / RESULT_FILE)
        assert result.spec.role == "trial"
        assert result.metrics is not None
        assert result.metrics.validation["accuracy"] == one.score


def test_a_trial_that_diverges_is_a_result_and_is_not_chosen(
    assets: Assets, tmp_path: Path
) -> None:
    results = placed(assets, tmp_path)
    spec = tuned_specification(assets, (1e-2, 1e38), training={"gradient_clip_norm": None})
    run_trials(assets, spec, results)
    assert call(spec, results) == 0
    choice = Choice.read(results / "tuning" / choice_file(spec))
    assert [one.state for one in choice.trials] == ["ok", "diverged"]
    assert choice.trials[1].reason
    assert choice.chosen == {"learning_rate": 1e-2}


def test_a_run_whose_trials_all_diverged_is_recorded_as_diverged(
    assets: Assets, tmp_path: Path
) -> None:
    results = placed(assets, tmp_path)
    spec = tuned_specification(assets, (1e37, 1e38), training={"gradient_clip_norm": None})
    run_trials(assets, spec, results)
    assert call(spec, results) == 0
    result = assets.run(spec, results)
    assert result.state == "diverged"
    assert result.reason == "no trial of its tuning has a score: 2 diverged"
    assert result.metrics is None


def test_a_missing_trial_is_an_error_of_files(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = placed(assets, tmp_path)
    spec = tuned_specification(assets, (1e-3, 1e-2))
    assert call(spec, results) == 74
    assert RESULT_FILE in caplog.text
    assert not (results / "tuning" / choice_file(spec)).exists()


def test_a_run_without_its_choice_does_not_begin(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = tuned_specification(assets, (1e-3, 1e-2))
    assert assets.main(spec, tmp_path) == 74
    assert "no choice of tuned values" in caplog.text
    assert not (run_folder(spec, tmp_path) / RESULT_FILE).exists()


def test_the_choice_of_another_cell_is_refused(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = placed(assets, tmp_path)
    spec = tuned_specification(assets, (1e-3, 1e-2))
    run_trials(assets, spec, results)
    assert call(spec, results) == 0
    other = tuned_specification(assets, (1e-3, 1e-2), seed=8)
    shutil.copy(results / "tuning" / choice_file(spec), results / "tuning" / choice_file(other))
    assert assets.main(other, results) == 74
    assert f"it is the choice of {tuning_key(spec)}" in caplog.text


def test_a_specification_that_is_not_tuned_is_refused(
    assets: Assets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert call(assets.specification(), tmp_path) == 78
    assert "is not tuned" in caplog.text


def test_the_ledger_is_strict_json(assets: Assets, tmp_path: Path) -> None:
    results = placed(assets, tmp_path)
    spec = tuned_specification(assets, (1e-2,))
    run_trials(assets, spec, results)
    assert call(spec, results) == 0
    ledger = json.loads((results / "tuning" / choice_file(spec)).read_text())
    assert ledger["trials"][0]["values"] == {"learning_rate": 0.01}


def test_a_trial_beyond_the_grid_is_told_its_threads_and_attempts(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = placed(assets, tmp_path)
    spec = tuned_specification(assets, (1e-3, 1e-2), grow=True)
    run_trials(assets, spec, results)
    file = results / "cell.json"
    spec.write(file)
    commands: list[list[str]] = []

    def record(command: list[str], text: bytes) -> int:
        commands.append(command)
        return 75

    monkeypatch.setattr(tune, "_run_trial", record)
    how = ["--threads", "2", "--attempt", "2", "--attempts", "3"]
    assert tune.main(["--spec", str(file), "--results", str(results), *how]) == 75
    (command,) = commands
    assert command[-6:] == how


def beyond_the_grid(
    assets: Assets, results: Path, patch: pytest.MonkeyPatch, codes: list[int]
) -> tuple[Specification, list[Specification]]:
    """A cell with two trials beyond its grid, which run in this process; those that were run.

    A trial that is to end with another code than 0 is asked to end in its second step.
    """
    others = {"optimizer.weight_decay": (0.0, 0.1)}
    spec = tuned_specification(
        assets, (1e-3, 1e-2), grow=True, grid={"learning_rate": (1e-3, 1e-2)} | others
    )
    run_trials(assets, spec, results)
    ran: list[Specification] = []

    def run(command: list[str], text: bytes) -> int:
        ran.append(Specification.model_validate_json(text))
        code = codes.pop(0)
        if code:
            return interrupted(assets, ran[-1], results, ("step", 2), ask())
        return assets.main(ran[-1], results)

    patch.setattr(tune, "_run_trial", run)
    return spec, ran


def test_a_choice_that_is_preempted_goes_on_within_its_trial_and_repeats_none(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = placed(assets, tmp_path)
    spec, ran = beyond_the_grid(assets, results, monkeypatch, [0, 75, 0])
    assert call(spec, results) == 75
    assert not (results / "tuning" / choice_file(spec)).exists()
    assert call(spec, results) == 0
    first, second, again = (one.run for one in ran)
    assert first != second == again
    choice = Choice.read(results / "tuning" / choice_file(spec))
    assert choice.grown == 2
    found = Result.read(results / "runs" / again / RESULT_FILE)
    assert found.resumed_at_steps == (2,)
    whole = assets.run(ran[-1], tmp_path / "whole")
    assert (found.metrics, found.losses) == (whole.metrics, whole.losses)


def test_a_trial_beyond_the_grid_of_another_source_is_made_again(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = placed(assets, tmp_path)
    spec, ran = beyond_the_grid(assets, results, monkeypatch, [0] * 4)
    assert call(spec, results) == 0
    monkeypatch.setattr(provenance, "spec_digest", lambda spec: "0" * 64)
    assert call(spec, results) == 0
    assert len(ran) == 4
