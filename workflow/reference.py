"""The committed reference: tables, plots and records of one machine, and the README's table."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from records.plan import Plan
from records.result import RESULT_FILE, Result
from records.write import write_text

_MARKED = re.compile(r"(<!-- table: start -->\n).*?(<!-- table: end -->)", re.DOTALL)


class MissingResultError(Exception):
    """The benchmark is not complete: a reference has no gaps."""


def publish(name: str, results: Path, reference: Path, readme: Path) -> list[Path]:
    """Copy a finished benchmark's tables, plots, plan and records from `results` to `reference`.

    The table between the README's markers is replaced by the one that was written. Returns the
    files written. Raises MissingResultError where a run has no record.
    """
    plan = Plan.read(results / "plans" / f"{name}.json")
    absent = [run for run in plan.runs if not (results / "runs" / run / RESULT_FILE).exists()]
    if absent:
        raise MissingResultError(f"{len(absent)} runs have no record, the first is {absent[0]}")
    sources = [results / "plans" / f"{name}.json"]
    tables = [f"{name}[-.]*", f"{plan.claims_table}.*"]
    sources += sorted({path for one in tables for path in (results / "tables").glob(one)})
    sources += sorted((results / "plots").glob(f"{name}-*"))
    runs = [*plan.runs, *_trials(plan, results)]
    sources += [results / "runs" / run / RESULT_FILE for run in runs]
    written = [_copy(source, reference / source.relative_to(results)) for source in sources]
    table = (results / "tables" / f"{name}.md").read_text(encoding="utf-8")
    write_text(readme, with_table(readme.read_text(encoding="utf-8"), table))
    return written


def _trials(plan: Plan, results: Path) -> list[str]:
    """Every trial that a run's record names, those beyond the planned grid among them."""
    choices = [Result.read(results / "runs" / run / RESULT_FILE).tuning for run in plan.runs]
    return list(dict.fromkeys(one.run for choice in choices if choice for one in choice.trials))


def with_table(text: str, table: str) -> str:
    """The text with the table between its markers."""
    return _MARKED.sub(lambda match: f"{match[1]}{table.strip()}\n{match[2]}", text)


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, target))
