"""Two hundred cells, a tenth of them with a fault: no other cell's row in the table changes."""

import errno
import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from analysis.collect import collect
from finegrid.records.costs import Inference, Time
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE
from finegrid.records.specification import Specification
from finegrid.training import tracking
from finegrid.training.loop import Trainer
from tests.faults.benchmarks import plan_of
from tests.faults.damage import flip
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import (
    KilledError,
    ask,
    at_step,
    checkpoints,
    die,
    interrupted,
)

CELLS, FAULTY = 200, 20
TRY_AGAIN = os.EX_TEMPFAIL
MEASURED = {*Time.model_fields, *(f"inference_{name}" for name in Inference.model_fields)} - {
    "steps",
    "inference_batch_examples",
}
"""Columns of seconds, which no run repeats."""


@dataclass(frozen=True)
class Work:
    """A run in which something goes wrong at a step."""

    assets: Assets
    spec: Specification
    results: Path
    step: int

    def attempt(self, action: Callable[[], None] | None = None, **options: Any) -> int:
        """One attempt, with the action at the step."""
        if action is None:
            return self.assets.main(self.spec, self.results, **options)
        place = ("step", self.step)
        return interrupted(self.assets, self.spec, self.results, place, action, **options)

    def patched(self, value: Callable[[], Any]) -> int:
        """An attempt with another loss at the step."""
        with pytest.MonkeyPatch.context() as patch:
            at_step(self.step, value, patch)
            return self.attempt()


def run_out() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def diverge(work: Work) -> None:
    assert work.patched(lambda: torch.tensor(float("nan"), requires_grad=True)) == 0


def run_out_of_memory(work: Work) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "loss", lambda *_: run_out())
        assert work.attempt() == 0


def fail(work: Work) -> None:
    def bug() -> None:
        raise RuntimeError("mat1 and mat2")

    assert work.attempt(bug) == 1


def lose(work: Work) -> None:
    assert work.attempt() == 0
    (run_folder(work.spec, work.results) / RESULT_FILE).unlink()


def preempt(work: Work) -> None:
    assert work.attempt(ask(signal.SIGUSR1)) == TRY_AGAIN
    assert work.attempt() == 0


def kill(work: Work) -> None:
    with pytest.raises(KilledError):
        work.attempt(die, checkpoint_seconds=0)
    assert work.attempt() == 0


def damage(work: Work) -> None:
    assert work.attempt(ask()) == TRY_AGAIN
    (path,) = checkpoints(work.spec, work.results)
    flip(path)
    assert work.attempt() == 0


def fill(work: Work) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert work.attempt(full) == os.EX_IOERR
    assert work.attempt() == 0


def wait_for_memory(work: Work) -> None:
    assert work.attempt(run_out, attempt=1, attempts=2) == TRY_AGAIN
    assert work.attempt(attempt=2, attempts=2) == 0


def lose_the_tracker(work: Work) -> None:
    def broken(*arguments: Any) -> None:
        raise OSError("no space left")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setattr(tracking.Tracker, "_start", broken)
        assert work.attempt() == 0


LOSES = {diverge: "diverged", run_out_of_memory: "oom", fail: "failed", lose: "missing"}
"""What goes wrong for good -> the state that the table shows."""
RECOVERS = (preempt, kill, damage, fill, wait_for_memory, lose_the_tracker)
"""What costs nothing but time."""


def cells(assets: Assets) -> Iterator[Specification]:
    """Cells that differ in the learning rate."""
    for number in range(CELLS):
        spec = assets.specification(learning_rate=1e-3 * (1 + number))
        variant = spec.variant.model_copy(update={"name": f"full-{number:03}"})
        yield spec.model_copy(update={"variant": variant})


def table(plan: Plan, results: Path) -> pd.DataFrame:
    """The aggregate without times and the state of the checkout, a row a run.

    A column's type is left out: it is that of the values in all rows.
    """
    frame = collect(plan, results / "runs").set_index("run").astype(object)
    others = ["started_at", "git_commit", "git_dirty"]
    return frame.drop(columns=[*MEASURED & {*frame.columns}, *others])


def test_a_tenth_of_faults_changes_no_other_cell(assets: Assets, tmp_path: Path) -> None:
    specs = list(cells(assets))
    draw = random.Random(200)  # noqa: S311 - cells and steps, no secrets
    faults = dict(zip(draw.sample(range(CELLS), FAULTY), cycle([*LOSES, *RECOVERS])))
    whole, disturbed = tmp_path / "whole", tmp_path / "disturbed"
    for number, spec in enumerate(specs):
        assert assets.main(spec, whole) == 0
        work = Work(assets, spec, disturbed, draw.randint(1, 4))
        if fault := faults.get(number):
            fault(work)
        else:
            assert work.attempt() == 0
    expected, found = (table(plan_of(specs), results) for results in (whole, disturbed))
    lost = {specs[number].run: LOSES[f] for number, f in faults.items() if f in LOSES}
    assert len(lost) == 8
    assert found.loc[list(lost), "state"].to_dict() == lost
    without = {specs[number].run for number, f in faults.items() if f is lose_the_tracker}
    assert {*found.index[found.pop("mirror_warning").notna()]} == without
    assert expected.pop("mirror_warning").isna().all()
    pd.testing.assert_frame_equal(found.drop(index=[*lost]), expected.drop(index=[*lost]))
    assert set(expected["state"]) == {"ok"}
    assert expected["loss_last"].nunique() > CELLS // 2, "the cells are too much alike"
