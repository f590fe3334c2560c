"""What a person sees while a benchmark runs."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from finegrid.cli.progress import Milestone, Watch, follow
from finegrid.training.processes.signals import Interruption

RUNS = ["before", "now", "later"]


def finish(results: Path, run: str, score: float = 0.5, role: str = "run") -> None:
    """Leave the record of a run; a trial has no score on test."""
    folder = results / "runs" / run
    folder.mkdir(parents=True)
    split = "test" if role == "run" else "validation"
    scores = {"primary": "accuracy", split: {"accuracy": {"value": score}}}
    record = {
        "state": "ok",
        "spec": {"role": role},
        "metrics": scores,
        "time": {"train_seconds": 7.0},
    }
    (folder / "result.json").write_text(json.dumps(record))


def begin(results: Path, run: str) -> None:
    """Leave the log of a run that has begun."""
    log = results / "logs" / f"run-{run}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    finish(tmp_path, "before")
    begin(tmp_path, "later")
    return Watch(tmp_path, RUNS, started=1000.0)


def test_runs_are_sorted_into_done_running_and_left(watch: Watch) -> None:
    assert watch.finished() == ["before"]
    assert watch.running() == []
    begin(watch.results, "now")
    assert watch.running() == watch.unfinished() == ["now"]
    finish(watch.results, "now")
    assert watch.finished() == ["before", "now"]
    assert watch.running() == watch.unfinished() == []


@pytest.mark.parametrize("when", [900, 2**32])
def test_a_log_of_an_earlier_session_is_not_running_until_it_is_written_again(
    watch: Watch, when: int
) -> None:
    """Whatever the clock says: it may have been set back."""
    assert watch.running() == []
    os.utime(watch.log("later"), (when, when))
    assert watch.running() == ["later"]


def test_a_failed_run_is_unfinished_and_not_running(watch: Watch) -> None:
    begin(watch.results, "now")
    (watch.results / "runs" / "now").mkdir()
    (watch.results / "runs" / "now" / "failure.json").touch()
    assert watch.running() == []
    assert watch.unfinished() == ["now"]


def test_the_time_left_follows_the_pace_of_this_session(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watch.seconds_left() is None
    finish(watch.results, "now")
    monkeypatch.setattr("finegrid.cli.progress.time.monotonic", lambda: 1060.0)
    assert watch.seconds_left() == pytest.approx(60.0)  # one run took 60 s, one is left


@pytest.mark.parametrize("terminal", [True, False])
def test_every_run_is_announced_once(watch: Watch, terminal: bool) -> None:
    finish(watch.results, "now", score=0.875)
    text = io.StringIO()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    console = Console(file=text, force_terminal=terminal, width=100)
    follow(process, Interruption(), watch, console)
    shown = text.getvalue()
    assert shown.count("test accuracy 0.875, 7 s of training") == 1
    assert "before" not in shown
    assert ("2/3" if terminal else "2 of 3") in shown


def test_a_trial_is_announced_with_its_score_on_validation(watch: Watch) -> None:
    finish(watch.results, "now", score=0.75, role="trial")
    assert watch.outcome("now") == "validation accuracy 0.750, 7 s of training"


@pytest.mark.parametrize(
    ("runs", "times"), [({"now"}, 1), ({"before"}, 0), ({"now", "later"}, 0), (set(RUNS), 0)]
)
def test_a_milestone_is_told_once_when_its_runs_are_done(
    watch: Watch, runs: set[str], times: int
) -> None:
    """Not of runs that were done before, nor at the end, when the whole table comes."""
    finish(watch.results, "now")
    if runs == set(RUNS):
        finish(watch.results, "later")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    told: list[str] = []
    milestone = Milestone(frozenset(runs), lambda: told.append("told"))
    follow(process, Interruption(), watch, Console(file=io.StringIO()), milestone)
    assert len(told) == times
