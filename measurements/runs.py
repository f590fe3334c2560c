"""What a run takes, against its bound, and against the scripts that it takes the place of.

python -m measurements.runs [--task movie-reviews] [--variant lora-r8] [--repeats 5]
                            [--ways bound forked own careful shipped] [--output FILE.md]

One run of the default benchmark is made again and again in a temporary folder, in turns each way:
in a process of its own, and forked from a worker. Where it is one of LoRA on texts, so are the
bound and the scripts of `measurements.scripts`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Specification
from finegrid.records.write import write_text
from finegrid.training.processes.client import OFF, VARIABLE, WORKER, owner
from measurements.measure import machine
from workflow.pipeline import Pipeline
from workflow.surroundings import ROOT, shut_out_working_folder

TABLE = Path(__file__).with_suffix(".md")
PACKAGES = ("torch", "transformers", "peft")
CLIENT = (sys.executable, "-m", "finegrid.training.processes.client")
SCRIPTS = (sys.executable, "-m", "measurements.scripts")
SNAKEMAKE = (
    *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
    *("--workflow-profile", "none", "--cores", "2", "--config", "benchmark=default"),
)
RUNS = {"forked": "forked from a worker", "own": "in a process of its own"}
BY_HAND = {
    "bound": "the bound",
    "careful": "a careful script",
    "shipped": "the script as it is shipped",
}
REPEATS = 5
NOTES = """
- Seconds are processor seconds of one thread, which other processes change less than they do the
  time on the clock; of a run, those of its client too.
- of the bound: the median of the ratios side by side, with the quartiles.
- the bound: the same batches, forward and backward to the inputs of the frozen base, and bare
  forward passes for the evaluations, in a process that has loaded all. Everything else counts
  imports, reading, scores, files and the end of the process.
- a careful script: transformers' Trainer with peft, each batch padded to its longest text; the
  script as it is shipped: each text padded to 128 tokens.
- Memory and latency are measured by the first run of a cell, which is left out; it is the first
  call of the worker as well, which loads the libraries.
"""
_CHILDREN_FIELDS = slice(13, 15)
"""cutime and cstime of /proc/<pid>/stat, behind the name of the process."""


@dataclass
class Turns:
    """One run, made every way in turns, and the seconds of each turn."""

    spec: Specification
    folder: Path
    ways: Sequence[str]
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def record(self) -> Result:
        """Of the last run."""
        return Result.read(self.folder / "results" / "runs" / self.spec.run / RESULT_FILE)

    def take(self) -> None:
        """One turn, every other time in the opposite order."""
        count = len(self.seconds.get(self.ways[0], ()))
        for way in self.ways[:: -1 if count % 2 else 1]:
            taken = self.run(way) if way in RUNS else self.by_hand(way)
            self.seconds.setdefault(way, []).append(taken)
            sys.stderr.write(f"{way}: {taken:.1f} s\n")

    def run(self, way: str) -> float:
        """The processor seconds of the run. Raises where it fails."""
        worker = OFF if way == "own" else owner(os.getpid())
        before = _processor_seconds()
        subprocess.run(  # noqa: S603  # our own interpreter, arguments without a shell
            [*CLIENT, "--spec", "-", "--results", str(self.folder / "results")],
            input=self.spec.model_dump_json(),
            cwd=self.folder,
            env=os.environ | {VARIABLE: worker, "OMP_NUM_THREADS": "1"},
            text=True,
            check=True,
            capture_output=True,
        )
        return _processor_seconds() - before

    def by_hand(self, way: str) -> float:
        """The processor seconds of a script; of the bound, those of its computation."""
        file, prepared = self.folder / "spec.json", self.folder / "results" / "prepared"
        self.spec.write(file)
        before = _processor_seconds()
        said = subprocess.run(  # noqa: S603  # as above
            [*SCRIPTS, way, str(file), str(prepared)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            text=True,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).stdout
        return float(said.split()[-1]) if way == "bound" else _processor_seconds() - before

    def rows(self) -> Iterator[str]:
        """The table."""
        yield from ("| | seconds | of the bound |", "|---|---:|---:|")
        for way in self.ways:
            own, name = self.seconds[way], (RUNS | BY_HAND)[way]
            yield f"| {name} | {median(own):.1f} | {self._of_bound(own)} |"

    def _of_bound(self, seconds: list[float]) -> str:
        if "bound" not in self.seconds:
            return "-"
        pairs = zip(seconds, self.seconds["bound"], strict=True)
        ratios = [one / other for one, other in pairs]
        if len(ratios) < 2:
            return f"{ratios[0]:.2f}"
        low, middle, high = quantiles(ratios, n=4)
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"

    def stages(self) -> str:
        """What the last run's record says of its stages, in seconds of the clock."""
        found = self.record.time
        if found is None:
            return "The run has no times."
        named = {
            "set-up": found.setup_seconds,
            "training steps": found.train_seconds,
            "evaluations": found.evaluate_seconds,
        }
        said = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in named.items())
        return f"Of the last run: {said}, by the clock."


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


def planned(pipeline: Pipeline, task: str, variant: str) -> Specification:
    """The first run of that cell, untuned: with the learning rate in the middle of its grid."""
    found = (
        one
        for one in pipeline.runs.values()
        if (one.task.name, one.variant.name) == (task, variant)
    )
    return next(found).model_copy(update={"tuning": None})


def prepare(pipeline: Pipeline, spec: Specification, folder: Path) -> None:
    """Make what the run reads."""
    run = next(name for name, one in pipeline.runs.items() if one.cell == spec.cell)
    needs = (pipeline.run_task(run), pipeline.run_model(run), *pipeline.run_encodings(run))
    subprocess.run([*SNAKEMAKE, "--", *needs], cwd=folder, check=True, capture_output=True)  # noqa: S603


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare, measure in turns, and write the table."""
    ways = (*RUNS, *BY_HAND)
    parser = argparse.ArgumentParser(prog="python -m measurements.runs", description=__doc__)
    parser.add_argument("--task", default="movie-reviews")
    parser.add_argument("--variant", default="lora-r8")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--ways", nargs="+", choices=ways, help="all that there are for the task")
    parser.add_argument("--output", type=Path, default=TABLE, help="the table, Markdown")
    options = parser.parse_args(arguments)
    shut_out_working_folder()
    pipeline = Pipeline.from_config({"benchmark": "default"})
    spec = planned(pipeline, options.task, options.variant)
    default = tuple(RUNS) if spec.model.widths is not None else ways
    with tempfile.TemporaryDirectory() as name:
        turns = Turns(spec, Path(name), options.ways or default)
        prepare(pipeline, spec, Path(name))
        first, load = turns.run("forked"), os.getloadavg()[0]
        start = time.monotonic()
        for _ in range(options.repeats):
            turns.take()
        lines = [
            "# A run against its bound, and against scripts by hand",
            "",
            f"Made by `python -m measurements.runs` on {datetime.now(UTC):%Y-%m-%d}: {spec.cell}, "
            f"{options.repeats} turns. {machine(PACKAGES)}.",
            "",
            *turns.rows(),
            NOTES.rstrip(),
            f"- The first run: {first:.1f} s. {turns.stages()}",
            f"- Load of the machine: {load:.1f} to {os.getloadavg()[0]:.1f}; alone, a run makes 1. "
            f"All took {time.monotonic() - start:.0f} s.",
        ]
    sys.stderr.write("\n".join(lines) + "\n")
    write_text(options.output, "\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
