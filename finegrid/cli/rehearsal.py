"""The command that runs every cell of a benchmark on tiny models, before a cluster does."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finegrid.cli.shared import EXIT_CONFIGURATION, BenchmarkName, pipeline_of
from finegrid.cli.terminal import CONSOLE
from finegrid.models.blueprint import Blueprint, Description
from finegrid.planning.benchmark import DEFAULT_BENCHMARK
from finegrid.records.plan import Plan

if TYPE_CHECKING:
    from finegrid.rehearsal.stages import Notes, Outcome

_SHOWN = 12
"""Notes of a kind that are shown before the others are counted."""


def rehearse(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK,
    keep: Annotated[
        Path | None, typer.Option(help="A new folder that keeps all that is made.")
    ] = None,
) -> None:
    """Run every cell for two steps on tiny random models here, and name those that fail.

    Status 0: every cell passes. 1: one fails, each with its reason in a line.
    """
    with _folder(keep) as folder:
        _prepare_environment()
        from finegrid.rehearsal.stages import Rehearsal

        plan = pipeline_of(benchmark, folder).plan
        rehearsal = Rehearsal(plan, folder)
        with CONSOLE.status("planned") as status:
            outcomes = []
            for number, outcome in enumerate(rehearsal.outcomes(), 1):
                outcomes.append(outcome)
                status.update(f"{number} of {len(rehearsal.cells)} cells")
                if outcome.reason:
                    _say(f"{outcome.name}: {outcome.reason}")
        problem = _tables(plan, [one for one in outcomes if one.reason is None], folder)
    if problem:
        _say(f"tables: {problem}")
    passed = sum(one.reason is None for one in outcomes)
    _say(f"{benchmark}: {passed} of {len(outcomes)} cells rehearsed{_not_run(plan)}")
    for line in _remarks(rehearsal.notes):
        _say(f"  {line}")
    if problem or passed < len(outcomes):
        raise typer.Exit(1)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where all is made: a folder that is removed, or one that the user keeps."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        sys.stderr.write(f"--keep {keep}: it holds something; allowed: a new folder\n")
        raise typer.Exit(EXIT_CONFIGURATION)
    keep.mkdir(parents=True, exist_ok=True)
    yield keep


def _prepare_environment() -> None:
    """No network, no mirror, one thread; anatomies are found here, where torch is loaded anyway."""
    # Cells share this process, and torch notes that one gives back what another has allocated: that
    # matters to a peak of memory alone, and none is told here.
    os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"
    from finegrid.models import anatomies
    from finegrid.training.run import prepare_environment

    prepare_environment(threads=1)
    os.environ["WANDB_MODE"] = "disabled"
    anatomies.discovery = _described


def _described(blueprints: Sequence[Blueprint]) -> list[Description]:
    from finegrid.models.describe import describe

    return [describe(one) for one in blueprints]


def _tables(plan: Plan, passed: Sequence[Outcome], folder: Path) -> str | None:
    """Make the tables of the cells that passed; why that failed, or None."""
    from analysis.collect import collect
    from analysis.errors import AnalysisError
    from analysis.evidence import write_evidence
    from analysis.frame import write_table
    from analysis.tables import write_tables

    if not passed:
        return None
    runs, stem = folder / "runs", folder / "tables" / plan.benchmark
    cells = tuple(one.cell for one in passed)
    small = plan.model_copy(update={"cells": cells, "claims": None})
    try:
        frame = collect(small, runs)
        write_table(frame, stem.with_name(f"{stem.name}-runs.csv"))
        write_evidence(frame, runs, stem)
        write_tables(frame, stem)
    except (AnalysisError, OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None


def _not_run(plan: Plan) -> str:
    gaps = sum(cell.not_applicable is not None for cell in plan.cells)
    return f", {gaps} not applicable" if gaps else ""


def _remarks(notes: Notes) -> Iterator[str]:
    """What was otherwise than the benchmark says."""
    parts: Mapping[str, Sequence[str]] = {
        "shrunk": list(notes.shrunk),
        "made up": list(notes.made),
        "one process of the CPU in the place of": list(notes.elsewhere),
        "no score on so few rows, which is no fault": list(notes.undefined),
    }
    for title, lines in parts.items():
        if lines:
            more = f", and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
            yield f"{title}: {', '.join(lines[:_SHOWN])}{more}"
    trials = "one trial, and its first seed by what that chose" if notes.tried else "its first seed"
    yield f"of each cell: {trials}; two steps or so on four rows a split"


def _say(line: str) -> None:
    CONSOLE.print(line, highlight=False, markup=False, soft_wrap=True)
