"""What a small run takes in a process of its own, and forked from a worker.

python -m measurements.runs [--task digits-turned] [--repeats 5]

The first run of the default benchmark on that task is made again and again in a temporary folder,
in turns one way and the other; what is printed is the median of each, and of the ratios side by
side. The first call of the worker, which loads the libraries, is printed by itself.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from finegrid.records.specification import Specification
from finegrid.training.processes.client import OFF, VARIABLE, WORKER, owner
from workflow.pipeline import Pipeline
from workflow.surroundings import ROOT, shut_out_working_folder

CLIENT = (sys.executable, "-m", "finegrid.training.processes.client")
SNAKEMAKE = (
    *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
    *("--workflow-profile", "none", "--cores", "2", "--config", "benchmark=default"),
)
REPEATS = 5
_CHILDREN_FIELDS = slice(13, 15)
"""cutime and cstime of /proc/<pid>/stat, behind the name of the process."""


@dataclass(frozen=True)
class Taken:
    """Wall-clock and processor seconds of one call."""

    wall: float
    processor: float
    """User and system time of the client and of the run."""


def taken(spec: Specification, folder: Path, worker: str) -> Taken:
    """What the run takes with that value of `FINEGRID_WORKER`. Raises where it fails."""
    environment = os.environ | {VARIABLE: worker, "OMP_NUM_THREADS": "1"}
    start, before = time.perf_counter(), _processor_seconds()
    subprocess.run(  # noqa: S603  # our own interpreter, arguments without a shell
        [*CLIENT, "--spec", "-", "--results", str(folder / "results")],
        input=spec.model_dump_json(),
        cwd=folder,
        env=environment,
        text=True,
        check=True,
        capture_output=True,
    )
    return Taken(time.perf_counter() - start, _processor_seconds() - before)


def _processor_seconds() -> float:
    """Those of all children of this process that have ended, and of the worker's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime + sum(map(_of_children, _workers()))


def _workers() -> list[Path]:
    """The folders in /proc of the worker of this process and of what it has forked."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().split(b"\0")
            named = f"{VARIABLE}={owner(os.getpid())}".encode()
            if WORKER.encode() in line and named in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder)
        except OSError:
            continue  # it has ended, or is another user's
    return found


def _of_children(folder: Path) -> float:
    fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[_CHILDREN_FIELDS])) / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare, measure in turns, and print."""
    parser = argparse.ArgumentParser(prog="python -m measurements.runs", description=__doc__)
    parser.add_argument("--task", default="digits-turned")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args(arguments)
    shut_out_working_folder()
    pipeline = Pipeline.from_config({"benchmark": "default"})
    planned = next(one for one in pipeline.runs.values() if one.task.name == options.task)
    spec = planned.model_copy(update={"tuning": None})  # with the rate in the middle of its grid
    with tempfile.TemporaryDirectory() as name:
        folder, mine = Path(name), owner(os.getpid())
        made = pipeline.run_task(planned.run), pipeline.run_model(planned.run)
        needs = (*made, *pipeline.run_encodings(planned.run))
        subprocess.run([*SNAKEMAKE, "--", *needs], cwd=folder, check=True, capture_output=True)  # noqa: S603
        first = taken(spec, folder, mine)
        print(f"{spec.run}; the first call of a worker: {first.wall:.2f} s")  # noqa: T201
        pairs = [[taken(spec, folder, way) for way in (OFF, mine)] for _ in range(options.repeats)]
    for what in ("wall", "processor"):
        seconds = [[getattr(one, what) for one in pair] for pair in pairs]
        plain, forked = map(median, zip(*seconds, strict=True))
        ratio = median(other / one for one, other in seconds)
        print(f"{what}: {plain:.2f} s, forked {forked:.2f} s, ratio {ratio:.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
