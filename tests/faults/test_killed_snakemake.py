"""Snakemake, or `finegrid` in front of it, ends in the middle: what is finished stays finished."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.place import FINEGRID, MIDDLE, Place, wait_for


@pytest.fixture(scope="module")
def half(prepared: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place whose first run is done."""
    place = prepared.copy(tmp_path_factory.mktemp("half"))
    done = place.call(place.target(place.runs[0]))
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def half_done(half: Place, tmp_path: Path) -> Iterator[Place]:
    """A copy of it, free to be used."""
    copy = half.copy(tmp_path / "half")
    yield copy
    copy.close()


def test_after_a_kill_and_an_unlock_only_what_was_running_is_made_again(half_done: Place) -> None:
    """The whole machine goes down: Snakemake and its run."""
    place, both = half_done, [half_done.target(run) for run in half_done.runs]
    before = (place.folder / both[0]).stat().st_mtime_ns
    process = place.hold_in_the_middle(place.snakemake(*both))
    assert len(place.workers()) == 2  # one, and the run that it has forked
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    place.wait_for_the_end()
    place.hold.unlink()
    refused = place.call(*both)
    assert refused.returncode == 1
    assert "can be removed with the --unlock argument" in " ".join(refused.stderr.split())
    assert place.call("--unlock").returncode == 0
    done = place.call(*both)
    assert done.returncode == 0, done.stderr
    assert (place.folder / both[0]).stat().st_mtime_ns == before
    assert [place.result(run).state for run in place.runs] == ["ok", "ok"]
    # The first run; the second, killed in its middle; the second again.
    assert place.trained() == {"begins": 3, "is in the middle": 3}


@pytest.mark.parametrize("set_to", [0, 2**32], ids=["back", "forward"])
def test_a_result_from_another_time_is_not_made_again(half_done: Place, set_to: int) -> None:
    """A clock that was wrong makes no finished run stale: the content of what it read counts."""
    run = half_done.target(half_done.runs[0])
    os.utime(half_done.folder / run, (set_to, set_to))
    done = half_done.call(run, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout


def test_a_run_that_outlives_its_snakemake_is_made_again_where_that_is_allowed(
    place: Place,
) -> None:
    """Snakemake alone is killed. It does not know then what the finished run was made with."""
    run = place.target(place.runs[0])
    process = place.hold_in_the_middle(place.snakemake(run))
    process.kill()
    process.wait()
    place.hold.unlink()
    wait_for((place.folder / run).exists, "the result")
    place.wait_for_the_end()
    assert place.result(place.runs[0]).state == "ok"
    assert place.call("--unlock").returncode == 0
    refused = place.call(run)
    assert refused.returncode == 1
    assert "--rerun-incomplete" in refused.stderr
    allowed = place.call(run, "--rerun-incomplete", "--dry-run")
    assert allowed.returncode == 0
    assert "rule run:" in allowed.stdout


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_finegrid_asked_to_end_ends_snakemake_and_its_run(
    place: Place, sent: signal.Signals
) -> None:
    """The signal goes to `finegrid` alone, as from a scheduler. Each run leaves a checkpoint."""
    finegrid = [sys.executable, *FINEGRID, "reproduce", "benchmark.yaml", "--cores", "1"]
    process = place.hold_in_the_middle(finegrid)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) > len(place.workers()) == 2
    process.send_signal(sent)
    wait_for(lambda: f"{sent.name}: the runs leave checkpoints" in place.output, "the request")
    place.hold.unlink()
    assert process.wait() == os.EX_TEMPFAIL, place.output
    assert "interrupted: the same command goes on from here" in place.output
    wait_for(lambda: not any(one.is_running() for one in below), "the end of all of them")
    (run,) = place.begun()  # Snakemake begins with either
    assert f"{run}: interrupted by SIGINT; the next attempt goes on" in place.log(run)
    done = place.call(place.target(run))
    assert done.returncode == 0, done.stderr
    assert place.result(run).resumed_at_steps == (MIDDLE,)
