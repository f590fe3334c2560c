"""`make wandb-sync`: which mirrors are uploaded, by what Weights & Biases itself would do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finegrid.records.result import RESULT_FILE

REPOSITORY = Path(__file__).parents[2]
STAND_IN = f'#!/bin/sh\nexec {sys.executable} -m wandb "$@" --dry-run\n'


def mirror(results: Path, run: str, *, is_recorded: bool, is_uploaded: bool) -> None:
    """What a run leaves on a node, without the content."""
    folder = results / "runs" / run / "wandb" / f"offline-run-20260101_000000-{run}"
    folder.mkdir(parents=True)
    (folder / f"run-{run}.wandb").touch()
    if is_uploaded:
        (folder / f"run-{run}.wandb.synced").touch()
    if is_recorded:
        (results / "runs" / run / RESULT_FILE).touch()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_the_mirror_of_a_recorded_run_is_uploaded_once(tmp_path: Path) -> None:
    results, program = tmp_path / "results", tmp_path / "environment" / "bin" / "wandb"
    mirror(results, "recorded", is_recorded=True, is_uploaded=False)
    mirror(results, "uploaded", is_recorded=True, is_uploaded=True)
    mirror(results, "interrupted", is_recorded=False, is_uploaded=False)
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN)
    program.chmod(0o755)
    (tmp_path / "environment" / ".ready").touch()
    environment = os.path.relpath(tmp_path / "environment", REPOSITORY)
    done = subprocess.run(
        ["make", "wandb-sync", f"VENV={environment}", f"RESULTS={results}"],
        cwd=REPOSITORY,
        env=os.environ | {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Would sync 1 run(s)" in done.stderr
    assert "Skipped 1 synced run(s)" in done.stderr
    assert "run-recorded.wandb" in done.stderr
    assert "interrupted" not in done.stderr
