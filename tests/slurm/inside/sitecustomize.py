"""Reaches into the runs of a test: Python imports it at the start of every job's processes.

A run notes in `trained`, in the folder of `FINEGRID_TEST_FOLDER`, when it begins and ends to train.
In the middle it waits as long as a file `hold` lies there. With `out-of-memory` in
`FINEGRID_TEST_FIRST_ATTEMPT` the first attempt ends as the kernel would end it.
"""

import atexit
import os
import signal
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = os.environ.get("FINEGRID_TEST_FOLDER")
MIDDLE = 300
"""The step before which a run is held, of the 600 that it has."""


class Hook(MetaPathFinder):
    """Changes the training loop when it is imported, and no earlier."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "training.loop" or not (spec := PathFinder.find_spec(name, path)):
            return None
        loader: Any = spec.loader
        plain = loader.exec_module

        def execute(module: ModuleType) -> None:
            plain(module)
            change(module)

        loader.exec_module = execute
        return spec


def change(loop: Any) -> None:
    """Count the steps, and act at the first and at the middle one."""
    plain, steps = loop.Trainer.step, [0]

    def step(self: Any, *arguments: Any) -> Any:
        steps[0] += 1
        if steps[0] == 1:
            begin()
        if steps[0] == MIDDLE:
            hold()
        return plain(self, *arguments)

    loop.Trainer.step = step


def begin() -> None:
    """Note that this process trains; end it where its test wants it."""
    note("begins")
    atexit.register(note, "ends")
    if os.environ.get("FINEGRID_TEST_FIRST_ATTEMPT") == "out-of-memory" and attempt() == 1:
        note("ends")
        os.kill(os.getpid(), signal.SIGKILL)


def hold() -> None:
    """Wait for the test."""
    note("is in the middle")
    while (Path(FOLDER or "") / "hold").exists():
        time.sleep(0.1)


def note(what: str) -> None:
    """One line, whole, whoever else writes."""
    job = os.environ.get("SLURM_JOB_ID", "-")
    with (Path(FOLDER or "") / "trained").open("a") as stream:
        stream.write(f"{job} {what}\n")


def attempt() -> int:
    """Which attempt this is, by the command line."""
    return int(sys.orig_argv[sys.orig_argv.index("--attempt") + 1])


if FOLDER and "training.run" in sys.orig_argv:
    sys.meta_path.insert(0, Hook())
