"""A clock that goes backwards spoils no record and no choice of a checkpoint."""

import os
import time
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from finegrid.training.state.checkpoint import Checkpoints
from tests.faults.saves import IDENTITY, past, tensors
from tests.training.assets import Assets
from tests.training.interruptions import ask, assert_same_bits, interrupted

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("set_to", [0, 2**32], ids=["back", "forward"])
def test_of_two_checkpoints_the_furthest_counts_whatever_their_times(
    tmp_path: Path, set_to: int
) -> None:
    """There are two where a process was killed before it deleted the older one."""
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    for number in (1, 2, 3):
        before = {path: path.read_bytes() for path in checkpoints.folder.glob("*")}
        checkpoints.save(tensors(number), past(number))
    (newest,) = checkpoints.folder.iterdir()
    for path, content in before.items():
        path.write_bytes(content)
    os.utime(newest, (set_to, set_to))
    kept = checkpoints.latest()
    assert kept is not None
    assert (kept.path, len(kept.past.history)) == (newest, 3)
    checkpoints.save(tensors(4), past(4))
    assert len(list(checkpoints.folder.iterdir())) == 1


def test_a_run_under_a_clock_that_goes_backwards_is_the_same_run(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    """Each look at the clock, and each file, is an hour earlier than the last."""
    spec = assets.specification(epochs=2, evaluations=3)
    assets.run(spec, tmp_path / "whole")
    start, hours, replace = time.time(), count(), Path.replace

    def set_back(self: Path, target: Path) -> Path:
        now = time.time()
        os.utime(self, (now, now))
        return replace(self, target)

    monkeypatch.setattr(time, "time", lambda: start - 3600 * next(hours))
    monkeypatch.setattr(Path, "replace", set_back)
    for step in (2, 3):
        code = interrupted(assets, spec, tmp_path, ("step", step), ask(), checkpoint_seconds=0)
        assert code == os.EX_TEMPFAIL
    assert assets.main(spec, tmp_path) == 0
    result = assert_same_bits(spec, tmp_path / "whole", tmp_path)
    assert result.resumed_at_steps == (2, 5)
    assert result.time is not None
    assert min(seconds for _, seconds in result.time if seconds is not None) > 0
    assert next(hours) > 10, "nothing looked at the clock"
    assert datetime.fromisoformat(result.provenance.started_at)
