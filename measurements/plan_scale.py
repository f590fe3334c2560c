"""How planning and aggregating grow with the number of runs.

python -m measurements.plan_scale [--sizes 1000 10000 100000] [--repeats 3] [--output FILE.md]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import log
from pathlib import Path

from finegrid.records.write import write_text
from measurements.measure import Usage, best, machine
from measurements.synthetic import (
    ITEMS,
    Shape,
    plan_of,
    touch_outputs,
    write_benchmark,
    write_plan,
    write_prepared,
    write_results,
)
from workflow.pipeline import Pipeline
from workflow.surroundings import ROOT, shut_out_working_folder

SHAPES = {
    1_000: Shape(tasks=2, models=5, variants=10, seeds=10),
    10_000: Shape(tasks=5, models=10, variants=20, seeds=10),
    100_000: Shape(tasks=10, models=25, variants=40, seeds=10),
}
WHOLE = 10_000
"""The largest plan that Snakemake is given in one piece."""
COMPARED = 1_000
"""The largest plan whose variants are compared, which takes as long for each pair at any size."""
BATCHES = 20
"""Of a larger one."""
REPEATS = 3
TABLE = Path(__file__).with_suffix(".md")
PACKAGES = ("snakemake", "pydantic", "pandas")
SNAKEMAKE = (
    *("snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "scale.yaml"),
    *("--workflow-profile", "none", "--cores", "2", "--dry-run"),
)
NEW, DONE, READ = "plan, nothing done", "plan, all done", "read the Snakefile"
COLLECT, TABLES = "aggregate: collect", "aggregate: tables"
EVIDENCE = "aggregate: evidence"
NOTES = f"""
- plan: `snakemake --dry-run` of the whole pipeline, from an empty folder, and with all files there.
  Above {WHOLE:,} runs it is that of one batch, `--batch collect=1/{BATCHES}` and then, with all
  files there, `{BATCHES}/{BATCHES}`.
- read the Snakefile: `snakemake --dry-run` of one file that is there. Every job pays it that starts
  its own Snakemake, as those of a cluster do.
- aggregate: `python -m analysis.collect` reads, checks and joins all records and hashes what lies
  beside them, `python -m analysis.tables` makes the main table, `python -m analysis.evidence` what
  compares variants, up to {COMPARED:,} runs. They are what the rules of these names call.
- processor: user and system time. A step is one process with hardly more than one thread, so that
  this is its wall time on a machine that does nothing else. memory: the largest resident set.
- The runs are synthetic: a small network, ten seeds a cell, no tuning; the results are a committed
  record with other specifications and scores, sealed, with a history and with predictions of
  {ITEMS} test items; `evidence` takes longer with more. Snakemake has no metadata of the runs.
"""


@dataclass(frozen=True)
class Figure:
    """What one step took at one size."""

    runs: int
    """Of the benchmark."""
    covered: int
    """Those of them that the step is about: a batch, or all."""
    step: str
    usage: Usage


@dataclass(frozen=True)
class Bench:
    """A folder in which the steps of one size are measured."""

    size: int
    folder: Path
    repeats: int

    def figures(self) -> Iterator[Figure]:
        """Every step, in an order in which the folder can be filled on the way."""
        shape = SHAPES[self.size]
        write_benchmark(shape, self.folder / "scale.yaml")
        yield self._plan(NEW, 1, rf"\nrun +{self._batch}\n")
        pipeline = _fill(shape, self.folder)
        plan = f"results/plans/{pipeline.name}.json"
        yield from self._aggregated(plan, f"results/tables/{pipeline.name}")
        touch_outputs(pipeline)
        yield self._plan(DONE, BATCHES, "Nothing to be done")
        yield self._figure(READ, [*SNAKEMAKE, "--", plan], "Nothing to be done")

    @property
    def _batch(self) -> int:
        """The runs that Snakemake is given at a time."""
        return self.size if self.size <= WHOLE else self.size // BATCHES

    def _aggregated(self, plan: str, table: str) -> Iterator[Figure]:
        """The tables, in the files that begin with `table`."""
        runs, runs_table = ["--runs", "results/runs"], f"{table}-runs.csv"
        call = ["analysis.collect", "--plan", plan, *runs, "--output", runs_table]
        yield self._figure(COLLECT, call)
        arguments = ["--runs-table", runs_table, "--output-stem", table]
        yield self._figure(TABLES, ["analysis.tables", *arguments])
        if self.size <= COMPARED:
            yield self._figure(EVIDENCE, ["analysis.evidence", *arguments, *runs])

    def _plan(self, step: str, batch: int, expected: str) -> Figure:
        if self._batch == self.size:
            return self._figure(step, SNAKEMAKE, expected)
        command = [*SNAKEMAKE, "--batch", f"collect={batch}/{BATCHES}"]
        return self._figure(f"{step}, a batch of {BATCHES}", command, expected, self._batch)

    def _figure(
        self, step: str, command: Sequence[str], expected: str = "", covered: int | None = None
    ) -> Figure:
        call = [sys.executable, "-m", *command]
        usage = best(call, self.folder, self.repeats if self.size <= WHOLE else 1, expected)
        return Figure(self.size, covered or self.size, step, usage)


def document(found: list[Figure], repeats: int) -> str:
    """The table and how it was made, as Markdown."""
    times = f"the smallest of {repeats}" + (f", once above {WHOLE:,} runs" if repeats > 1 else "")
    lines = [
        "# Planning and aggregating, by the number of runs",
        "",
        f"Made by `python -m measurements.plan_scale` on {datetime.now(UTC):%Y-%m-%d}; {times}.",
        f"{machine(PACKAGES)}.",
        "",
        "| runs | step | wall | processor | memory | processor, a run |",
        "|---:|---|---:|---:|---:|---:|",
        *(_row(figure) for figure in found),
        "",
        "## Growth",
        "Processor time at one size in that at the size before, and what n log n would give.",
        "",
        "| step | from | to | measured | n log n |",
        "|---|---:|---:|---:|---:|",
        *_growth(found),
        NOTES,
    ]
    return "\n".join(lines)


def _fill(shape: Shape, folder: Path) -> Pipeline:
    """Prepared tasks and models, the plan, and a result for every run."""
    plan, results = plan_of(shape), folder / "results"
    write_prepared(plan, results / "prepared")
    write_plan(plan, results / "plans" / f"{plan.benchmark}.json")
    write_results(plan, results / "runs")
    return Pipeline.plan_from({"benchmark": str(folder / "scale.yaml"), "results": str(results)})


def _row(figure: Figure) -> str:
    usage = figure.usage
    return (
        f"| {figure.runs:,} | {figure.step} | {usage.wall_seconds:.1f} s "
        f"| {usage.processor_seconds:.1f} s | {usage.peak_bytes / 1e6:,.0f} MB "
        f"| {usage.processor_seconds / figure.covered * 1e3:.2f} ms |"
    )


def _growth(found: list[Figure]) -> Iterator[str]:
    """A line for each step that was measured at two sizes in one piece."""
    by_step: dict[str, list[Figure]] = {}
    for figure in found:
        by_step.setdefault(figure.step, []).append(figure)
    for step, sizes in by_step.items():
        for small, large in pairwise(sizes):
            ratio = large.usage.processor_seconds / small.usage.processor_seconds
            bound = large.runs * log(large.runs) / (small.runs * log(small.runs))
            yield f"| {step} | {small.runs:,} | {large.runs:,} | {ratio:.1f} | {bound:.1f} |"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="measurements.plan_scale", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--repeats", type=int, default=REPEATS, help="calls of each command")
    parser.add_argument("--output", type=Path, default=TABLE, help="the table, Markdown")
    arguments = parser.parse_args()
    shut_out_working_folder()
    found, loads = [], [os.getloadavg()[0]]
    for size in sorted(arguments.sizes):
        with tempfile.TemporaryDirectory() as folder:
            for figure in Bench(size, Path(folder), arguments.repeats).figures():
                found.append(figure)
                loads.append(os.getloadavg()[0])
                sys.stderr.write(f"{_row(figure)}\n")
    load = f"Load of the machine: {min(loads):.1f} to {max(loads):.1f}; alone, a step makes 1."
    write_text(arguments.output, f"{document(found, arguments.repeats)}- {load}\n")


if __name__ == "__main__":
    main()
