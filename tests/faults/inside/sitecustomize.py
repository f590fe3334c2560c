"""Reaches into the runs of a test: Python imports it at the start of every process.

A run notes in `trained`, in the folder of `FINEGRID_TEST_FOLDER`, when it begins to train, and when
it is in its middle. There it waits as long as a file `hold` lies in that folder.
"""

import os
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(os.environ.get("FINEGRID_TEST_FOLDER", ""))
MIDDLE = 300
"""The step before which a run is held, of the 600 that it has."""


class Hook(MetaPathFinder):
    """Changes the training loop when it is imported, and no earlier."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "finegrid.training.loop" or not (spec := PathFinder.find_spec(name, path)):
            return None
        loader: Any = spec.loader
        plain = loader.exec_module

        def execute(module: ModuleType) -> None:
            plain(module)
            change(module)

        loader.exec_module = execute
        return spec


def change(loop: Any) -> None:
    """Note the first step of this process, and hold the one in the middle."""
    plain = loop.Trainer.step
    begun: list[int] = []

    def step(self: Any, number: int, *arguments: Any) -> Any:
        if not begun:
            begun.append(number)
            note("begins")
        if number == MIDDLE:
            note("is in the middle")
            while (FOLDER / "hold").exists():
                time.sleep(0.05)
        return plain(self, number, *arguments)

    loop.Trainer.step = step


def note(what: str) -> None:
    """One line, whole, whoever else writes."""
    with (FOLDER / "trained").open("a") as stream:
        stream.write(f"{what}\n")


TRAINING = {"finegrid.training.run", "finegrid.training.processes.worker"}
if os.environ.get("FINEGRID_TEST_FOLDER") and TRAINING & set(sys.orig_argv):
    sys.meta_path.insert(0, Hook())
