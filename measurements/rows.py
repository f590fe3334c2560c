"""How the preparation of a task grows with the number of its rows.

python -m measurements.rows [--sizes 10000 100000 1000000] [--output FILE.md]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from finegrid.models.anatomies import Anatomies
from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.encoded import Encoded, Encoding
from finegrid.records.prepared import MANIFEST_FILE, SPLITS, PreparedTask
from finegrid.records.specification import Specification, model_key
from finegrid.records.write import write_text
from finegrid.training.encoding import encoding_of
from measurements.measure import Usage, machine, measured
from measurements.reviews import COPIED, MEDIAN_WORDS, MOST_WORDS, Copy, write_reviews
from tasks.registry import kind_of
from workflow.surroundings import shut_out_working_folder

SIZES = (10_000, 100_000, 1_000_000)
TEMPLATE = Path(__file__).with_suffix(".yaml")
TABLE = Path(__file__).with_suffix(".md")
PACKAGES = ("pyarrow", "pandas", "numpy", "scipy")
PLAN, PREPARE, ENCODE = "plan", "prepare", "encode"
FILE, ANATOMIES, PREPARED = "reviews.csv", "anatomies", "prepared"
NOTES = f"""
- plan: `python -m finegrid.planning.plan` of a benchmark with this one task, which reads every row
  once, for its file is not locked.
- prepare: `python -m finegrid.prepare.task`, which reads, splits, hashes and writes the rows, and
  looks for what the splits share.
- encode: `python -m finegrid.prepare.encode`, which cuts the texts into tokens, with the tokenizer
  of MiniLM and on all cores.
- processor: user and system time, of one process; memory: its largest resident set.
- A row is a text with one of two labels, in one CSV of which 10 % are held out for validation and
  10 % for test. Words are drawn by their frequencies in the docstrings of Python's standard
  library, lengths are lognormal: {MEDIAN_WORDS} words in the median, {MOST_WORDS} at most.
- found: of up to {100 * COPIED:g} % of the rows, half of them with one letter changed, the
  generator knows which row they are copies of. Those whose two rows are in two splits have to be
  found: exact and near ones.
"""


@dataclass(frozen=True)
class Figure:
    """What one step took at one size."""

    rows: int
    step: str
    usage: Usage
    found: str = ""


def figures(rows: int, folder: Path) -> Iterator[Figure]:
    """Every step, in an order in which the folder can be filled on the way."""
    copies = write_reviews(folder / FILE, rows)
    with chdir(folder):
        benchmark = parse_benchmark(yaml.safe_load(TEMPLATE.read_text(encoding="utf-8")))
        (run,) = make_plan(benchmark, describe=Anatomies(folder / ANATOMIES)).runs.values()
    (folder / "benchmark.json").write_text(benchmark.model_dump_json(exclude_unset=True), "utf-8")
    for name, part in (("task", run.task), ("model", run.model), ("encoding", _encoding(run))):
        (folder / f"{name}.json").write_text(part.model_dump_json(), "utf-8")
    plan = ["finegrid.planning.plan", "--benchmark", "benchmark.json", "--output", "plan.json"]
    yield Figure(rows, PLAN, _measured([*plan, "--anatomies", str(folder / ANATOMIES)], folder))
    task, model = f"{PREPARED}/tasks/{run.task.key}", model_key(run.model)
    prepare = ["finegrid.prepare.task", "--spec", "task.json", "--output", task]
    usage = _measured(prepare, folder)
    yield Figure(rows, PREPARE, usage, _found(folder / task, copies))
    place = f"{PREPARED}/models/{model}"
    make = ["finegrid.prepare.model", "--spec", "model.json", "--output", place]
    _measured([*make, "--tasks", f"{PREPARED}/tasks"], folder)
    (folder / "model.txt").write_text(model, "utf-8")
    encode = ["finegrid.prepare.encode", "--spec", "encoding.json", "--output", "encoded"]
    usage = _measured([*encode, "--prepared", PREPARED, "--processor", "model.txt"], folder)
    yield Figure(rows, ENCODE, usage, _units(folder / "encoded"))


def _encoding(run: Specification) -> Encoding:
    return encoding_of(kind_of(run.task), run.task, run.model, run.training.max_length)


def _units(encoded: Path) -> str:
    """How many tokens were written."""
    splits = Encoded.read(encoded / MANIFEST_FILE).splits
    return f"{sum(one.units for one in splits.values()):,} tokens"


def _measured(command: Sequence[str], folder: Path) -> Usage:
    return measured([sys.executable, "-m", *command], folder)


def _found(prepared: Path, copies: Sequence[Copy]) -> str:
    """The duplicates that were found, and those that the generator knows of."""
    splits = {
        name: split
        for split in SPLITS
        for name in pq.read_table(prepared / f"{split}.parquet", columns=["id"])["id"].to_pylist()
    }
    known = Counter(
        copy.exact
        for copy in copies
        if splits[f"train-{copy.original}"] != splits[f"train-{copy.copy}"]
    )
    overlaps = PreparedTask.read(prepared / MANIFEST_FILE).overlaps
    exact, near = (sum(getattr(one, what) or 0 for one in overlaps) for what in ("exact", "near"))
    return f"{exact:,} of {known[True]:,} and {near:,} of {known[False]:,}"


def document(found: Sequence[Figure]) -> str:
    """The table and how it was made, as Markdown."""
    lines = [
        "# Preparing a task, by the number of its rows",
        "",
        f"Made by `python -m measurements.rows` on {datetime.now(UTC):%Y-%m-%d}, once each.",
        f"{machine(PACKAGES)}.",
        "",
        "| rows | step | processor | wall | memory | processor, a row | found |",
        "|---:|---|---:|---:|---:|---:|---:|",
        *map(_row, found),
        NOTES,
    ]
    return "\n".join(lines)


def _row(figure: Figure) -> str:
    usage = figure.usage
    return (
        f"| {figure.rows:,} | {figure.step} | {usage.processor_seconds:.1f} s "
        f"| {usage.wall_seconds:.1f} s | {usage.peak_bytes / 1e6:,.0f} MB "
        f"| {usage.processor_seconds / figure.rows * 1e6:,.0f} µs | {figure.found} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m measurements.rows", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--output", type=Path, default=TABLE, help="the table, Markdown")
    options = parser.parse_args(arguments)
    shut_out_working_folder()
    found, loads = [], [os.getloadavg()[0]]
    for size in sorted(options.sizes):
        with tempfile.TemporaryDirectory() as folder:
            for figure in figures(size, Path(folder)):
                found.append(figure)
                loads.append(os.getloadavg()[0])
                sys.stderr.write(f"{_row(figure)}\n")
    load = f"Load of the machine: {min(loads):.1f} to {max(loads):.1f}; alone, a step makes 1."
    write_text(options.output, f"{document(found)}- {load}\n")


if __name__ == "__main__":
    main()
