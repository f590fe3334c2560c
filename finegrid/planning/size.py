"""The size of a plan against the largest that its benchmark allows."""

from __future__ import annotations

from collections.abc import Sequence

from finegrid.planning.schema import Benchmark
from finegrid.problems import Problems
from finegrid.records.plan import Cell


def check_size(benchmark: Benchmark, cells: Sequence[Cell], problems: Problems) -> None:
    """Note it where there are more runs and trials than `max_runs`, and where they come from."""
    runs, trials = sum(len(one.runs) for one in cells), sum(len(one.trials) for one in cells)
    if runs + trials <= benchmark.max_runs:
        return
    axes = _axes(benchmark, cells)
    name, size = max(axes.items(), key=lambda axis: axis[1])
    planned = f"{runs} runs and {trials} trials" if trials else f"{runs} runs"
    problems.add(
        ("max_runs",),
        f"the plan has {runs + trials} ({planned}), allowed are {benchmark.max_runs} "
        f"unless it says more; the largest axis is {name} with {size}",
    )


def _axes(benchmark: Benchmark, cells: Sequence[Cell]) -> dict[str, int]:
    """How many different values each axis has among the cells that have runs."""
    filled = [cell for cell in cells if cell.runs]
    return {
        "tasks": len({cell.task for cell in filled}),
        "models": len({cell.model for cell in filled}),
        "variants": len({cell.variant for cell in filled}),
        "seeds": len(benchmark.seeds),
        "tuning, in trials a cell,": max((len(cell.trials) for cell in filled), default=0),
    }
