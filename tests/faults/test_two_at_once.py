"""Two that work on the same runs: one makes each, and the other spoils nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finegrid.records.result import SPECIFICATION_FILE
from tests.faults.place import Place


def assert_made_once(place: Place, process: "subprocess.Popen[str]") -> None:
    """The first one goes on to its end when it is let, and its result is whole."""
    place.hold.unlink()
    assert process.wait() == 0, place.output
    result = place.result(place.runs[0])
    folder = (place.folder / place.target(place.runs[0])).parent
    assert (result.state, result.damaged_files(folder)) == ("ok", [])
    assert place.trained() == {"begins": 1, "is in the middle": 1}


def test_two_workers_on_one_run(place: Place) -> None:
    """The second ends at once and asks to be tried again."""
    run = place.runs[0]
    place.specification(run).write(place.folder / SPECIFICATION_FILE)
    worker = [sys.executable, "-m", "finegrid.training.run", "--spec", SPECIFICATION_FILE]
    first = place.hold_in_the_middle(worker)
    second = place.run(worker)
    assert second.returncode == os.EX_TEMPFAIL
    assert second.stderr == f"{run}: another process works on this run\n"
    assert_made_once(place, first)


@pytest.mark.parametrize("target", ["the same", "a table made of it"])
def test_two_snakemakes_in_one_folder(place: Place, target: str) -> None:
    """Snakemake refuses the second by its own lock, where they would make the same file."""
    run = place.target(place.runs[0])
    first = place.hold_in_the_middle(place.snakemake(run))
    second = place.call({"the same": run, "a table made of it": place.table}[target])
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stderr
    assert_made_once(place, first)


def test_two_snakemakes_that_share_the_results_alone(place: Place, tmp_path: Path) -> None:
    """Snakemake's lock is of its working folder: here the run's own lock protects."""
    run, elsewhere = place.runs[0], tmp_path / "elsewhere"
    elsewhere.mkdir()
    first = place.hold_in_the_middle(place.snakemake(place.target(run)))
    shared = ["--config", f"results={place.results}"]
    second = place.run(
        place.snakemake(str(place.folder / place.target(run)), *shared), cwd=elsewhere
    )
    assert second.returncode == 1
    assert "Directory cannot be locked" not in second.stderr
    assert place.log(run) == f"{run}: another process works on this run\n"
    assert_made_once(place, first)


def test_two_snakemakes_on_two_runs(place: Place) -> None:
    """Nothing is refused: each makes its own."""
    lines = [place.snakemake(place.target(run)) for run in place.runs]
    processes = [place.hold_in_the_middle(line) for line in lines]
    place.hold.unlink()
    assert [process.wait() for process in processes] == [0, 0], place.output
    assert [place.result(run).state for run in place.runs] == ["ok", "ok"]
    assert place.trained() == {"begins": 2, "is in the middle": 2}
