"""Where memory runs out, a run waits for more, shrinks, or is recorded."""

import os
from pathlib import Path
from typing import Any, Never

import pytest
import torch

from finegrid.records.result import RESULT_FILE, Result
from finegrid.training import experiment, loop
from tests.training.assets import Assets, read_history, run_folder, steps
from tests.training.interruptions import assert_same_bits, interrupted

Place = tuple[str, int]
IN_A_STEP: list[Place] = [("step", 1), ("step", 4)]
ELSEWHERE: list[Place] = [("load", 1), ("evaluate", 1), ("probe", 1)]


def run_out(*arguments: Any) -> Never:
    raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")


def tried(assets: Assets, results: Path, place: Place, **options: Any) -> tuple[int, Path]:
    """The exit code of a run of 8 steps that runs out there, once, and its folder."""
    spec = assets.specification(epochs=2)
    return interrupted(assets, spec, results, place, run_out, **options), run_folder(spec, results)


@pytest.mark.parametrize("place", IN_A_STEP, ids=str)
def test_in_a_step_the_run_starts_again_in_smaller_micro_batches(
    assets: Assets, tmp_path: Path, place: Place
) -> None:
    code, folder = tried(assets, tmp_path, place)
    result = Result.read(folder / RESULT_FILE)
    assert (code, result.state, result.micro_batch_size) == (0, "ok", 8)
    assert [event["step"] for event in steps(read_history(folder))] == list(range(1, 9))
    assert result.failed_step is None


@pytest.mark.parametrize("place", ELSEWHERE, ids=str)
def test_elsewhere_it_is_recorded(assets: Assets, tmp_path: Path, place: Place) -> None:
    """A smaller micro-batch would not help."""
    code, folder = tried(assets, tmp_path, place)
    result = Result.read(folder / RESULT_FILE)
    assert (code, result.state, result.micro_batch_size) == (0, "oom", None)
    assert result.reason == "OutOfMemoryError: CUDA out of memory."
    assert not (folder / "checkpoint").exists()


@pytest.mark.parametrize("place", [loop, experiment], ids=["validation", "test"])
def test_in_an_evaluation_it_is_recorded_with_the_steps_before(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    monkeypatch.setattr(place, "predict", run_out)
    spec = assets.specification()
    result = assets.run(spec, tmp_path)
    assert (result.state, result.metrics, result.micro_batch_size) == ("oom", None, None)
    assert len(steps(read_history(run_folder(spec, tmp_path)))) == 4


@pytest.mark.parametrize("place", IN_A_STEP + ELSEWHERE, ids=str)
def test_an_attempt_that_is_not_the_last_leaves_it_to_the_next(
    assets: Assets, tmp_path: Path, place: Place
) -> None:
    """That one is given more memory, and comes to the bits of a run that always had it."""
    spec = assets.specification(epochs=2)
    assets.run(spec, tmp_path / "whole")
    code, folder = tried(assets, tmp_path, place, attempt=1, attempts=2)
    assert code == os.EX_TEMPFAIL
    assert not (folder / RESULT_FILE).exists()
    assert assets.main(spec, tmp_path, attempt=2, attempts=2) == 0
    assert assert_same_bits(spec, tmp_path / "whole", tmp_path).micro_batch_size is None
