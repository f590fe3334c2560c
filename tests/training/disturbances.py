"""What happens to one of the processes that train a run together."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver
from typing import Any

import pytest
import torch
from torch.distributed.launcher.api import LaunchConfig

from finegrid.training import job
from finegrid.training.loop import Trainer
from finegrid.training.processes import launch
from finegrid.training.processes.distributed import Group
from finegrid.training.processes.launch import EndedAloneError, Work, run_workers
from finegrid.training.processes.signals import Interruption
from finegrid.training.state.checkpoint import Checkpoints


@dataclass(frozen=True)
class Disturbed:
    """A run whose process `rank` is disturbed before a step."""

    how: str
    step: int
    rank: int = 1
    size: int = 8
    """Of the micro-batches for which there is memory, in each process."""
    launcher: int = field(default_factory=os.getpid)
    """The process of the run, which a scheduler knows."""

    def __call__(self, work: Work[Any], group: Group, interruption: Interruption) -> Any:
        if group.rank == self.rank:
            self._change(interruption)
        return work(group, interruption)

    def _change(self, interruption: Interruption) -> None:
        plain, plain_loss = Trainer.step, Trainer.loss

        def step(trainer: Trainer, number: int, *arguments: Any) -> None:
            if number == self.step:
                getattr(self, f"_{self.how}")(interruption)
            plain(trainer, number, *arguments)

        def loss(trainer: Trainer, indices: list[int]) -> torch.Tensor:
            if self.how == "short" and len(indices) > self.size:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return plain_loss(trainer, indices)

        Trainer.step, Trainer.loss = step, loss  # type: ignore[assignment,method-assign]
        if self.how == "blind":
            Checkpoints.latest = lambda _: None  # type: ignore[assignment,method-assign]

    def _told(self, interruption: Interruption) -> None:
        """This process alone hears of it."""
        os.kill(os.getpid(), signal.SIGTERM)

    def _parent(self, interruption: Interruption) -> None:
        """The launcher hears of it, and tells all."""
        os.kill(self.launcher, signal.SIGUSR1)
        while interruption.name is None:
            time.sleep(0.01)

    def _gone(self, interruption: Interruption) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _gone_when_told(self, interruption: Interruption) -> None:
        self._parent(interruption)
        self._gone(interruption)

    def _short(self, interruption: Interruption) -> None:
        """Memory runs out by the size of the micro-batch, see above."""

    def _blind(self, interruption: Interruption) -> None:
        """Its folder shows no checkpoint, see above."""


def disturb(patch: pytest.MonkeyPatch, disturbed: Disturbed) -> list[str | None]:
    """Let runs be disturbed. The list that is returned fills with why they ended alone."""
    reasons: list[str | None] = []

    def run_disturbed(work: Work[Any], *rest: Any) -> Any:
        try:
            return run_workers(partial(disturbed, work), *rest)
        except EndedAloneError as error:
            reasons.append(error.ending.reason)
            raise

    patch.setattr(job, "run_workers", run_disturbed)
    return reasons


@contextmanager
def forked_workers() -> Iterator[None]:
    """Let the processes of runs be forked from one that has loaded what they load.

    Spawned as in a run, each takes ten seconds to load it. Their parent is that server.
    """
    multiprocessing.set_forkserver_preload(["tests.training.preloaded"])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"WANDB_MODE": "disabled", "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        forkserver.ensure_running()
    with pytest.MonkeyPatch.context() as patch:
        config = partial(LaunchConfig, start_method="forkserver")
        patch.setattr(launch, "LaunchConfig", config)
        yield
