"""The table of the seeds that go first, while the others still run."""

import io
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from finegrid.cli import terminal
from finegrid.records.plan import Plan
from tests.analysis.benchmark import SEEDS, run_of


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(terminal, "CONSOLE", Console(file=text, width=160))
    return text


def test_the_first_two_seeds_make_a_table_without_the_others(
    plan: Plan, runs: Path, shown: io.StringIO
) -> None:
    for cell in plan.cells:
        for run in list(cell.runs)[2:]:
            shutil.rmtree(runs / run, ignore_errors=True)
    pipeline: Any = SimpleNamespace(plan=plan)
    first = terminal.first_table(pipeline, runs.parent)
    assert run_of("letters", "small-2", SEEDS[1]) in first.runs
    assert run_of("letters", "small-2", SEEDS[2]) not in first.runs
    first.tell()
    assert "letters · tiny (the first 2 seeds)" in shown.getvalue()
    assert "small-2" in shown.getvalue()
    assert "missing" not in shown.getvalue()


def test_a_damaged_record_is_one_line(plan: Plan, runs: Path, shown: io.StringIO) -> None:
    damaged = runs / run_of("letters", "small-2", 0) / "result.json"
    damaged.write_text("{}")
    pipeline: Any = SimpleNamespace(plan=plan)
    terminal.first_table(pipeline, runs.parent).tell()
    assert "no first table: " in shown.getvalue()
    assert damaged.read_text() == "{}"
