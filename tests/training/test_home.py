"""A run whose libraries have nowhere to keep what they need says so before it begins."""

import os
import pwd
from pathlib import Path
from typing import Never

import pytest

from finegrid.training.processes.exits import EXIT_CONFIGURATION
from finegrid.training.processes.home import HUGGING_FACE, SNAKEMAKE, home_problem
from tests.training.assets import Assets

REMEDY = "set HOME to a folder that can be written"


def nobody(number: int) -> Never:
    """As the system answers in a container, of whose user it knows the number alone."""
    raise KeyError(f"getpwuid(): uid not found: {number}")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {*HUGGING_FACE, *SNAKEMAKE}:
        monkeypatch.delenv(name, raising=False)


def test_a_home_that_can_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "new"))
    assert home_problem(SNAKEMAKE) is None


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    problem = home_problem(SNAKEMAKE)
    assert problem is not None
    assert f"HOME is not set, and user {os.getuid()} has no home" in problem
    assert REMEDY in problem


def test_so_is_one_whose_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()  # root may write into any folder
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    problem = home_problem(HUGGING_FACE)
    assert problem is not None
    assert f"HOME: {tmp_path}/file/.cache cannot be made: Not a directory; {REMEDY}" in problem
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    assert home_problem(HUGGING_FACE) is None
    assert home_problem(SNAKEMAKE) is not None


def test_a_run_is_not_begun(
    assets: Assets,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    spec = assets.specification()
    assert assets.main(spec, tmp_path) == EXIT_CONFIGURATION
    assert caplog.messages[-1].startswith(f"{spec.run}: HOME is not set")
    assert [path.name for path in tmp_path.iterdir()] == ["given.json"]
