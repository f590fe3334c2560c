"""The committed reference: tables, plots and records of one machine, and the README's table."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.write import write_text


class MissingResultError(Exception):
    """The benchmark is not complete: a reference has no gaps."""


def publish(name: str, files: Iterable[Path], results: Path, reference: Path) -> list[Path]:
    """Copy a finished benchmark's plan, its `files` and its records from `results` to `reference`.

    Records that no plan of the reference names any more are removed there. Returns the files
    written. Raises MissingResultError where a run has no record, and OSError.
    """
    plan = Plan.read(_plan(results, name))
    absent = [run for run in plan.runs if not (results / "runs" / run / RESULT_FILE).exists()]
    if absent:
        raise MissingResultError(f"{len(absent)} runs have no record, the first is {absent[0]}")
    records = [results / "runs" / run / RESULT_FILE for run in _named(plan, results)]
    sources = [_plan(results, name), *files, *records]
    written = [_copy(source, reference / source.relative_to(results)) for source in sources]
    _prune(reference)
    return written


def show(name: str, reference: Path, readme: Path) -> None:
    """Put a benchmark's short table between its markers in the README, if it has any there."""
    from analysis.frame import read_pairs, read_runs
    from analysis.tables import short_markdown

    runs, pairs = (reference / "tables" / f"{name}-{table}.csv" for table in ("runs", "pairs"))
    table = short_markdown(read_runs(runs), read_pairs(pairs))
    write_text(readme, with_table(readme.read_text(encoding="utf-8"), name, table))


def _plan(folder: Path, name: str) -> Path:
    return folder / "plans" / f"{name}.json"


def _named(plan: Plan, results: Path) -> list[str]:
    """Every run, and every trial that a run's record names, those beyond the grid among them."""
    choices = [Result.read(results / "runs" / run / RESULT_FILE).tuning for run in plan.runs]
    trials = (one.run for choice in choices if choice for one in choice.trials)
    return list(dict.fromkeys([*plan.runs, *trials]))


def _prune(reference: Path) -> None:
    plans = [Plan.read(path) for path in sorted((reference / "plans").glob("*.json"))]
    kept = {run for plan in plans for run in _named(plan, reference)}
    for folder in (reference / "runs").iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder)


def with_table(text: str, name: str, table: str) -> str:
    """The text with the table between the markers of that name."""
    start, end = (f"<!-- {name}: {place} -->" for place in ("start", "end"))
    return re.sub(
        rf"({start}\n).*?({end})",
        lambda match: f"{match[1]}{table.strip()}\n{match[2]}",
        text,
        flags=re.DOTALL,
    )


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, target))
