"""How long a benchmark takes from nothing to its report, beside a loop of a careful script.

python -m measurements.grid [--benchmark default] [--seeds 0 1] [--cores 2] [--repeats 1]
                            [--each] [--folder FOLDER] [--output FILE.md]

With `--each` one run and one trial of every cell is made by the script, and the loop reckoned. With
`--folder` there is one repeat, and what finegrid made of it stays in FOLDER/results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from finegrid.planning.benchmark import benchmark_file
from finegrid.records.specification import Specification
from finegrid.records.write import write_text
from measurements.measure import machine
from workflow.pipeline import Pipeline
from workflow.surroundings import shut_out_working_folder

TABLE = Path(__file__).with_suffix(".md")
PACKAGES = ("torch", "transformers", "snakemake")
NOTES = """
- finegrid: `finegrid reproduce` in an empty folder: plan, data, models, trials, runs, tables, plots
  and report.
- loop: `measurements/careful.py` once for each trial and run, as many processes at a time as there
  are cores, each with one thread; data and models are there already, and nothing is made of what it
  finds. Trials that a tuning adds beyond an edge are finegrid's alone.
- first table: when the first two seeds of all cells were done.
- first done: when the first trial or run was: what comes before is preparation.
"""
_FIRST_TABLE = "(the first 2 seeds)"


@dataclass(frozen=True)
class Makespan:
    """Seconds from a start until all is done."""

    whole: float
    first_table: float | None = None
    first_done: float | None = None


@dataclass(frozen=True)
class Bench:
    """A benchmark in a folder of its own."""

    folder: Path
    file: str
    cores: int

    @property
    def pipeline(self) -> Pipeline:
        """Its plan."""
        results = str(self.folder / "results")
        return Pipeline.plan_from({"benchmark": str(self.folder / self.file), "results": results})

    def reproduced(self) -> Makespan:
        """What finegrid takes. Raises RuntimeError with the last words of a command that fails."""
        command = [sys.executable, "-m", "finegrid.cli.main", "reproduce", self.file]
        start, seen, said = time.perf_counter(), dict[str, float](), list[str]()
        with subprocess.Popen(  # noqa: S603  # our own interpreter, arguments without a shell
            [*command, "--cores", str(self.cores)],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in process.stdout or ():
                said.append(line)
                passed = time.perf_counter() - start
                if _FIRST_TABLE in line:
                    seen.setdefault("first_table", passed)
                if " s of training" in line:
                    seen.setdefault("first_done", passed)
        if process.returncode:
            raise RuntimeError("".join(said[-20:]))
        return Makespan(time.perf_counter() - start, **seen)

    def looped(self, *, each: bool) -> Makespan:
        """What the script takes for the same trials and runs. Raises RuntimeError as above."""
        pipeline = self.pipeline
        jobs, kinds = pipeline.jobs, {run: _kind(spec) for run, spec in pipeline.jobs.items()}
        first = {kind: run for run, kind in reversed(kinds.items())}
        chosen = sorted(first.values()) if each else list(jobs)
        start = time.perf_counter()
        with ThreadPoolExecutor(self.cores) as pool:
            found = dict(zip(chosen, pool.map(self._made, map(jobs.get, chosen)), strict=True))
        if not each:
            return Makespan(time.perf_counter() - start)
        return Makespan(makespan([found[first[kind]] for kind in kinds.values()], self.cores))

    def _made(self, spec: Specification) -> float:
        file = self.folder / f"{spec.run}.json"
        spec.write(file)
        prepared = str(self.folder / "results" / "prepared")
        start = time.perf_counter()
        done = subprocess.run(  # noqa: S603  # as above
            [
                *(sys.executable, "-m", "measurements.careful"),
                *("--spec", str(file), "--prepared", prepared),
            ],
            env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{spec.run}: {done.stderr[-2000:]}")
        return time.perf_counter() - start


def _kind(spec: Specification) -> tuple[str, str]:
    """What runs that take the same time have in common."""
    return spec.cell, spec.role


@contextmanager
def _work_folder(kept: Path | None) -> Iterator[Path]:
    """An empty folder, one that is kept if named. Raises FileExistsError if that is not empty."""
    if kept is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
        return
    kept.mkdir(parents=True, exist_ok=True)
    if any(kept.iterdir()):
        raise FileExistsError(f"--folder {kept}: it is not empty")
    yield kept


def makespan(seconds: Sequence[float], cores: int) -> float:
    """When jobs of that length are done that cores take in turn, the longest first."""
    ends = [0.0] * cores
    for one in sorted(seconds, reverse=True):
        earliest = ends.index(min(ends))
        ends[earliest] += one
    return max(ends)


def write_benchmark(folder: Path, benchmark: str, seeds: Sequence[int] | None) -> str:
    """Write a benchmark that is another one on these seeds; the name of its file."""
    content: dict[str, Any] = {"extends": str(benchmark_file(benchmark).absolute()), "name": "grid"}
    if seeds:
        content |= {"seeds": list(seeds), "interval": len(seeds) > 1}
    (folder / "grid.yaml").write_text(json.dumps(content), encoding="utf-8")
    return "grid.yaml"


def document(
    found: Mapping[str, Sequence[Makespan]], pipeline: Pipeline, options: argparse.Namespace
) -> Iterator[str]:
    """The table, and how it was made, as Markdown."""
    shown = f"{len(pipeline.plan.trials)} trials and {len(pipeline.runs)} runs"
    yield from ("# A benchmark from nothing to its report", "")
    yield (
        f"Made by `python -m measurements.grid` on {datetime.now(UTC):%Y-%m-%d} of "
        f"`{options.benchmark}`, {shown}, on {options.cores} cores. {machine(PACKAGES)}."
    )
    yield from ("", "| | makespan | first table | first done |", "|---|---:|---:|---:|")
    for name, spans in found.items():
        for span in spans:
            parts = (span.whole, span.first_table, span.first_done)
            cells = ["-" if one is None else f"{one / 60:.1f} min" for one in parts]
            yield f"| {name} | {' | '.join(cells)} |"
    ratios = [
        looped.whole / own.whole
        for own, looped in zip(found["finegrid"], found["loop"], strict=True)
    ]
    yield from ("", f"loop / finegrid, side by side: {', '.join(f'{one:.2f}' for one in ratios)}.")
    yield NOTES


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m measurements.grid", description=__doc__)
    parser.add_argument("--benchmark", default="default", help="a name of config/, or a path")
    parser.add_argument("--seeds", nargs="+", type=int, help="in place of the benchmark's")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--each", action="store_true", help="one run and one trial of every cell")
    parser.add_argument("--folder", type=Path, help="an empty one to work in and keep")
    parser.add_argument("--output", type=Path, default=TABLE, help="the table, Markdown")
    options = parser.parse_args(arguments)
    if options.folder and options.repeats > 1:
        parser.error(f"--repeats {options.repeats}: a --folder has room for 1")
    shut_out_working_folder()
    found: dict[str, list[Makespan]] = {"finegrid": [], "loop": []}
    loads = [os.getloadavg()[0]]
    for _ in range(options.repeats):
        with _work_folder(options.folder) as folder:
            file = write_benchmark(folder, options.benchmark, options.seeds)
            bench = Bench(folder, file, options.cores)
            found["finegrid"].append(bench.reproduced())
            found["loop"].append(bench.looped(each=options.each))
            loads.append(os.getloadavg()[0])
            pipeline = bench.pipeline
    load = f"- Load of the machine: {min(loads):.1f} to {max(loads):.1f}."
    way = "- The loop is reckoned from one run and one trial of every cell." if options.each else ""
    lines = [*document(found, pipeline, options), load, way, ""]
    write_text(options.output, "\n".join(lines))


if __name__ == "__main__":
    main()
