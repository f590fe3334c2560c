"""Reaches into the processes of a test: Python imports it at the start of each of them.

A run notes in `trained`, in the folder of `FINEGRID_TEST_FOLDER`, when it begins and ends to work.
The runs of `FINEGRID_TEST_HOLD` wait in the middle as long as a file `hold` lies there. The first
attempt of those of `FINEGRID_TEST_OUT_OF_MEMORY` ends as the kernel would end it. With
`FINEGRID_TEST_DEVICES` a run notes in `devices`, on each of its nodes, which CUDA devices it sees,
and ends there, out of memory with that reason. Snakemake asks for the state of its jobs every
second, where the plug-in would wait longer and longer.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(os.environ.get("FINEGRID_TEST_FOLDER", ""))
MIDDLE = 6
"""The step before which a run is held, of the 12 that each of the benchmark's texts has."""
POLL_SECONDS = 1
NODE_SECONDS = 300.0
"""How much later than the first a node may begin on a busy machine."""


class Hook(MetaPathFinder):
    """Changes a module when it is imported, and no earlier."""

    def __init__(self, module: str, change: Callable[[Any], None]) -> None:
        self.module = module
        self.change = change

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.module or not (spec := PathFinder.find_spec(name, path)):
            return None
        loader: Any = spec.loader
        plain = loader.exec_module

        def execute(module: ModuleType) -> None:
            plain(module)
            self.change(module)

        loader.exec_module = execute
        return spec


def watch_jobs(job: Any) -> None:
    """Note when a process has a run to itself, and when it gives it back."""
    plain = job.Job.perform

    def perform(self: Any) -> Any:
        run = self.planned.run
        note(run, "begins")
        if is_among("FINEGRID_TEST_OUT_OF_MEMORY", run) and attempt() == 1:
            note(run, "ends")
            os.kill(os.getpid(), signal.SIGKILL)
        if is_among("FINEGRID_TEST_HOLD", run):
            hold_in_the_middle(sys.modules["finegrid.training.loop"], run)
        try:
            return plain(self)
        finally:
            note(run, "ends")

    job.Job.perform = perform


def hold_in_the_middle(loop: Any, run: str) -> None:
    """Let the training wait for the test before its middle step."""
    plain = loop.Trainer.step

    def step(self: Any, number: int, *arguments: Any) -> Any:
        if number == MIDDLE:
            note(run, "is in the middle")
            while (FOLDER / "hold").exists():
                time.sleep(0.1)
        return plain(self, number, *arguments)

    loop.Trainer.step = step


def pretend_device(provenance: Any) -> None:
    """Name a device where there is none."""
    provenance.torch.cuda.get_device_name = lambda: "pretended"


def note_devices(launch: Any) -> None:
    """Do no work on the node but to note its devices."""

    def run_workers(*arguments: Any) -> None:
        del arguments
        node, devices = os.environ["SLURMD_NODENAME"], os.environ["CUDA_VISIBLE_DEVICES"]
        with (FOLDER / "devices").open("a") as stream:
            stream.write(f"{node} {devices}\n")
        # The first to end ends the others, who may not have begun.
        nodes, end = int(os.environ["SLURM_NNODES"]), time.monotonic() + NODE_SECONDS
        while len((FOLDER / "devices").read_text().splitlines()) < nodes and time.monotonic() < end:
            time.sleep(0.1)
        raise launch.EndedAloneError(launch.Ending("oom", os.environ["FINEGRID_TEST_DEVICES"]))

    launch.run_workers = run_workers


def poll_often(remote: Any) -> None:
    """Give every executor the same short time between two looks at its jobs."""

    def ignore(self: Any, value: float) -> None:
        del self, value

    pause = property(lambda self: POLL_SECONDS, ignore)
    remote.RemoteExecutor.next_seconds_between_status_checks = pause


def note(run: str, what: str) -> None:
    """One line, whole, whoever else writes."""
    job = os.environ.get("SLURM_JOB_ID", "-")
    with (FOLDER / "trained").open("a") as stream:
        stream.write(f"{job} {run} {what}\n")


def is_among(variable: str, run: str) -> bool:
    """Whether the variable names the run."""
    return run in os.environ.get(variable, "").split()


def attempt() -> int:
    """Which attempt this is, by the command line."""
    return int(sys.orig_argv[sys.orig_argv.index("--attempt") + 1])


if "FINEGRID_TEST_FOLDER" in os.environ:
    pretends = "FINEGRID_TEST_DEVICES" in os.environ
    if "finegrid.training.run" in sys.orig_argv:
        sys.meta_path.insert(0, Hook("finegrid.training.job", watch_jobs))
        if pretends:
            sys.meta_path.insert(0, Hook("finegrid.training.provenance", pretend_device))
    elif "--multiprocessing-fork" in sys.orig_argv and "FINEGRID_TEST_HOLD" in os.environ:
        (held,) = os.environ["FINEGRID_TEST_HOLD"].split()
        sys.meta_path.insert(
            0, Hook("finegrid.training.loop", partial(hold_in_the_middle, run=held))
        )
    elif "finegrid.training.processes.agent" in sys.orig_argv and pretends:
        sys.meta_path.insert(0, Hook("finegrid.training.processes.launch", note_devices))
    elif "snakemake" in sys.orig_argv:
        module = "snakemake_interface_executor_plugins.executors.remote"
        sys.meta_path.insert(0, Hook(module, poll_often))
