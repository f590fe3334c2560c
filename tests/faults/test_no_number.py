"""A value that is no number ends a run as diverged, at the step where it first is."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from finegrid.records.result import PREDICTIONS_FILE
from finegrid.training.loop import Trainer
from tests.training.assets import Assets, read_history, run_folder, steps
from tests.training.interruptions import at_step

Patch = pytest.MonkeyPatch


def no_number(value: float) -> torch.Tensor:
    return torch.tensor(value, requires_grad=True)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 3, 8])
def test_the_loss_is_no_number(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, step: int, value: float
) -> None:
    at_step(step, lambda: no_number(value), monkeypatch)
    assert_diverged(assets, tmp_path, step)


@pytest.mark.parametrize("step", [1, 3, 8])
def test_a_weight_is_no_number(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, step: int
) -> None:
    plain = Trainer.step

    def spoilt(self: Trainer, number: int, *arguments: Any) -> None:
        if number == step:
            with torch.no_grad():
                next(self.model.parameters()).fill_(math.nan)
        plain(self, number, *arguments)

    monkeypatch.setattr(Trainer, "step", spoilt)
    assert_diverged(assets, tmp_path, step)


def assert_diverged(assets: Assets, results: Path, step: int) -> None:
    """The record names the step, and the steps before it are all there."""
    spec = assets.specification(epochs=2)
    result = assets.run(spec, results)
    assert (result.state, result.failed_step, result.metrics) == ("diverged", step, None)
    assert result.reason is not None
    assert f"step {step}" in result.reason
    folder = run_folder(spec, results)
    assert [event["step"] for event in steps(read_history(folder))] == list(range(1, step))
    assert (result.gradients is None) == (step == 1)
    assert not (folder / PREDICTIONS_FILE).exists()
