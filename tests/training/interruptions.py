"""Runs that are disturbed at a chosen place, and what they have in common with whole ones."""

import gc
import os
import signal
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from finegrid.records.result import DELTA_FILE, PREDICTIONS_FILE, RESULT_FILE, Result
from finegrid.records.specification import Specification
from finegrid.training import experiment
from finegrid.training.loop import Trainer
from finegrid.training.measure import costs
from tests.training.assets import Assets, read_history, run_folder, steps

PLACES = {
    "step": (Trainer, "step"),
    "evaluate": (Trainer, "evaluate"),
    "load": (experiment, "load"),
    "probe": (costs, "measure_memory"),
}
OUTCOME = ("state", "metrics", "parameters", "memory", "losses", "gradients", "failed_step")
SHARED_OUTCOME = tuple(part for part in OUTCOME if part != "memory")
"""Of several processes: their timing decides when an exchanged tensor is freed, and so peaks."""


class KilledError(BaseException):
    """Stands for a process that is gone at once."""


def ask(*signals: signal.Signals) -> Callable[[], None]:
    """Sends the signals to this process."""

    def send() -> None:
        for one in signals or (signal.SIGTERM,):
            os.kill(os.getpid(), one)

    return send


def die() -> None:
    raise KilledError


def interrupted(
    assets: Assets,
    spec: Specification,
    results: Path,
    place: tuple[str, int],
    action: Callable[[], None],
    **options: Any,
) -> int:
    """One attempt, with the action in the middle of a call that is counted from 1."""
    owner, name = PLACES[place[0]]
    plain, calls = getattr(owner, name), count(1)

    def acting(self: Any, *arguments: Any) -> Any:
        if next(calls) == place[1]:
            action()
        return plain(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, acting)
        try:
            return assets.main(spec, results, **options)
        finally:
            # A process that has ended leaves no model, whose end a memory meter would see.
            gc.collect()


def at_step(count: int, action: Callable[[], Any], patch: pytest.MonkeyPatch) -> None:
    """Let the loss of that step be what `action` gives, or raises."""
    plain, calls = Trainer.loss, iter(range(1, 10**6))

    def loss(self: Trainer, indices: list[int]) -> torch.Tensor:
        value = plain(self, indices)
        return action() if next(calls) == count else value

    patch.setattr(Trainer, "loss", loss)


def checkpoints(spec: Specification, results: Path) -> list[Path]:
    """What lies in the folder of the run's checkpoint."""
    return sorted(run_folder(spec, results).glob("checkpoint/*"))


def whole_checkpoints(spec: Specification, results: Path) -> list[Path]:
    """Those that are written: the one that is being written begins with a dot."""
    return [path for path in checkpoints(spec, results) if not path.name.startswith(".")]


def assert_same_bits(
    spec: Specification, whole: Path, results: Path, outcome: Sequence[str] = OUTCOME
) -> Result:
    """Everything but times is as in the uninterrupted run; returns the record."""
    folders = run_folder(spec, whole), run_folder(spec, results)
    expected, found = (Result.read(folder / RESULT_FILE) for folder in folders)
    for part in outcome:
        assert getattr(found, part) == getattr(expected, part), part
    deltas = [(folder / DELTA_FILE).read_bytes() for folder in folders]
    assert deltas[0] == deltas[1]
    tables = [pq.read_table(folder / PREDICTIONS_FILE) for folder in folders]
    assert tables[0].equals(tables[1])
    histories = [read_history(folder) for folder in folders]
    assert steps(histories[0]) == steps(histories[1])
    scores = [[event for event in history if "validation" in event] for history in histories]
    assert scores[0] == scores[1]
    assert [event.get("step") for event in histories[0]] == [e.get("step") for e in histories[1]]
    assert checkpoints(spec, results) == []
    return found
