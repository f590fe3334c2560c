"""The command that prepares a task, on a small file of real layout."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finegrid.prepare.task import main
from finegrid.records.prepared import MANIFEST_FILE, PreparedTask
from tests.small import REPOSITORY
from tests.warm.start import warm_python

SIZES: dict[str, Any] = {"train": 30, "validation": 10, "test": 10}


@pytest.fixture
def digits(tmp_path: Path) -> dict[str, Any]:
    lines = [",".join([str(row % 256)] * 784 + [str(row % 10)]) for row in range(60)]
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return {
        "name": "digits",
        "task": "digits",
        "source": {"uri": f"path:{path}"},
        "options": {"train": 30, "validation": 10, "test": 10},
    }


def run(spec: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(spec)))
    return main(["--spec", "-", "--output", str(folder), "--cache", str(folder / "cache")])


def test_the_command_line_end_to_end(digits: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(digits))
    with warm_python():
        command = [sys.executable, "-m", "finegrid.prepare.task", "--output", str(tmp_path / "out")]
        done = subprocess.run(
            [*command, "--spec", str(tmp_path / "spec.json")],
            cwd=REPOSITORY,
            capture_output=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        rb"digits-[0-9a-f]{8}: validation and train share 0 exact and 0 near duplicates "
        rb"\(0\.00 % of validation\); test and train share .*; test and validation share .*\n",
        done.stderr,
    )
    manifest = PreparedTask.read(tmp_path / "out" / MANIFEST_FILE)
    assert {name: split.n for name, split in manifest.splits.items()} == SIZES
    assert manifest.splits["train"].label_counts == {str(digit): 3 for digit in range(10)}
    assert [overlap.exact for overlap in manifest.overlaps] == [0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"options": {"train": 90}}, 65, "test: 1000 examples asked for, 60 available of 60"),
        ({"options": {"trian": 90}}, 65, "trian: Unexpected keyword argument"),
        ({"options": {"train": 0, "test": "1"}}, 65, "train: Input should be greater than or "),
        ({"task": "digit"}, 65, "unknown task 'digit': did you mean 'digits'?"),
        ({"source": {"uri": "path:/nonexistent"}}, 65, "path /nonexistent does not exist"),
        ({"name": "Digits"}, 65, "name: String should match"),
    ],
)
def test_wrong_input_gives_one_line_and_its_code(
    digits: dict[str, Any],
    changes: dict[str, Any],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run({**digits, **changes}, tmp_path / "out", monkeypatch) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"prepare_task: {message}")
    assert not (tmp_path / "out" / MANIFEST_FILE).exists()


def test_what_cannot_be_read_or_written_has_its_own_code(
    digits: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--spec", str(tmp_path / "none.json"), "--output", str(tmp_path)]) == os.EX_IOERR
    (tmp_path / "file").write_text("in the way")
    assert run(digits, tmp_path / "file" / "out", monkeypatch) == os.EX_IOERR
