"""What the process of a run says when it ends: one test a code."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Specification
from finegrid.training.processes import exits
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import at_step
from tests.warm.start import warm_python

REPOSITORY = Path(__file__).parents[2]
WRONG_METHOD = """
import sys
from methods.full import Full
from finegrid.training.run import main

Full.expected_parameters = lambda *arguments: 1
sys.exit(main())
"""


def command(
    assets: Assets, spec: Specification, results: Path, code: str = ""
) -> "subprocess.CompletedProcess[str]":
    """A run in a process of its own; without code of its own it is forked."""
    results.mkdir(parents=True, exist_ok=True)
    spec.write(results / "spec.json")
    with warm_python():
        line = [sys.executable, *(["-c", code] if code else ["-m", "finegrid.training.run"])]
        line += ["--spec", str(results / "spec.json"), "--results", str(results)]
        line += ["--prepared", str(assets.prepared)]
        return subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    """Where this source is found."""
    return os.environ | {"PYTHONPATH": str(REPOSITORY)}


def last_line(done: "subprocess.CompletedProcess[str]", run: str) -> str:
    """What the process said of the run last."""
    return [line for line in done.stderr.splitlines() if line.startswith(f"{run}: ")][-1]


def test_0_a_run_that_ended_well_is_recorded(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification()
    done = command(assets, spec, tmp_path)
    assert done.returncode == os.EX_OK
    assert (done.stdout, done.stderr) == ("", f"{spec.run}: ok\n")
    assert Result.read(run_folder(spec, tmp_path) / RESULT_FILE).state == "ok"


def test_0_so_is_one_that_ran_out_of_memory_or_diverged(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged, oom = assets.specification(learning_rate=1e30), assets.specification(batch_size=1)
    assert assets.run(diverged, tmp_path).state == "diverged"

    def run_out() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    at_step(2, run_out, monkeypatch)
    assert assets.run(oom, tmp_path).state == "oom"


def test_1_a_bug_is_not_recorded(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification()
    done = command(assets, spec, tmp_path, WRONG_METHOD)
    assert done.returncode == exits.EXIT_FAILED == 1
    assert "trainable parameters, closed form" in last_line(done, spec.run)


def test_65_data_are_damaged(assets: Assets, tmp_path: Path) -> None:
    spec, empty = assets.specification(), replace(assets, prepared=tmp_path / "prepared")
    manifest = empty.prepared / "tasks" / spec.task.key / MANIFEST_FILE
    manifest.parent.mkdir(parents=True)
    manifest.write_text("half of the m")
    done = command(empty, spec, tmp_path)
    assert done.returncode == exits.EXIT_DATA == os.EX_DATAERR == 65
    assert f"failed (CorruptedFileError: {manifest}: " in last_line(done, spec.run)


def test_74_a_file_is_not_there(assets: Assets, tmp_path: Path) -> None:
    spec, empty = assets.specification(), replace(assets, prepared=tmp_path / "prepared")
    done = command(empty, spec, tmp_path)
    assert done.returncode == exits.EXIT_FILES == os.EX_IOERR == 74
    assert "No such file or directory" in last_line(done, spec.run)


def test_75_another_process_works_on_it(assets: Assets, tmp_path: Path) -> None:
    """That of a run that was interrupted is in test_signals.py."""
    spec = assets.specification()
    folder = run_folder(spec, tmp_path)
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"):
        done = command(assets, spec, tmp_path)
    assert done.returncode == exits.EXIT_TRY_AGAIN == os.EX_TEMPFAIL == 75
    assert done.stderr == f"{spec.run}: another process works on this run\n"
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_78_its_specification_is_wrong(assets: Assets, tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    text = assets.specification().model_dump_json()
    file.write_text(text.replace('"epochs":1', '"epochs":-1'))
    with warm_python():
        line = [sys.executable, "-m", "finegrid.training.run", "--spec", str(file)]
        done = subprocess.run(
            line, env=environment(), capture_output=True, text=True, check=False, cwd=tmp_path
        )
    assert done.returncode == exits.EXIT_CONFIGURATION == os.EX_CONFIG == 78
    assert "epochs" in done.stderr
    assert not (tmp_path / "results").exists()
