"""The commands on results: publish, compare, score again, make again, hold against papers."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from finegrid.cli.shared import (
    EXIT_CONFIGURATION,
    ROOT,
    BenchmarkName,
    Results,
    one_line_errors,
    pipeline_of,
)
from finegrid.cli.terminal import CONSOLE, print_table
from finegrid.planning.benchmark import DEFAULT_BENCHMARK
from finegrid.records.result import RESULT_FILE

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name or its beginning, or a path.")
]


def publish(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK, results: Results = Path("results")
) -> None:
    """Make a finished benchmark part of the committed reference.

    Its table takes the place of its old one in the README, where that shows it.
    """
    from finegrid.cli import reference

    pipeline, home = pipeline_of(benchmark, results), ROOT / "results" / "reference"
    files = [Path(path) for path in pipeline.outputs.all]
    # A run that diverged has none.
    files += [path for path in map(Path, pipeline.outputs.predictions) if path.exists()]
    try:
        written = reference.publish(pipeline.name, files, results, home)
        reference.show(pipeline.name, home, ROOT / "README.md")
    except (reference.MissingResultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error
    CONSOLE.print(f"{len(written)} files under results/reference")


def compare(left: RunName, right: RunName, results: Results = Path("results")) -> None:
    """Show what two runs really differ in, whether they compare, and what came out."""
    from analysis import compare as comparing
    from analysis.errors import AnalysisError

    try:
        sides = [comparing.find(name, results / "runs") for name in (left, right)]
    except (AnalysisError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error
    found = comparing.compare(*sides)
    for where, side in zip(("left", "right"), sides, strict=True):
        CONSOLE.print(f"[bold]{where:>5}[/bold]  {side.run}", highlight=False, soft_wrap=True)
    for title, headers, rows in comparing.tables(found, *sides):
        if rows:
            print_table(title, headers, rows)
        else:
            CONSOLE.print(f"{title}: no difference\n")
    CONSOLE.print(found.verdict, highlight=False, soft_wrap=True)


def rescore(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK, results: Results = Path("results")
) -> None:
    """Compute every score again from the stored predictions, and hold it against the record."""
    from finegrid.training import rescore as scoring

    runs = [results / "runs" / run for run in pipeline_of(benchmark, results).jobs]
    recorded = [run for run in runs if (run / RESULT_FILE).exists()]
    again = {run.name: scoring.rescore(run) for run in recorded}
    for run, found in again.items():
        for problem in found.problems:
            CONSOLE.print(f"{run}: {problem}", highlight=False, markup=False, soft_wrap=True)
    wrong = sum(bool(found.problems) for found in again.values())
    scores = sum(found.scores for found in again.values())
    CONSOLE.print(
        f"{scores} scores of {len(recorded)} runs computed again, {wrong} runs disagree; "
        f"{len(runs) - len(recorded)} planned runs have no record",
        soft_wrap=True,
    )
    if wrong or not scores:
        raise typer.Exit(1)


def drift(
    results: Annotated[Path, typer.Argument(help="The results of then, as results/reference.")],
    benchmark: Annotated[str | None, typer.Option(help="Take only the runs of its plan.")] = None,
    cells: Annotated[int, typer.Option(min=1, help="How many cells to choose.")] = 3,
    cell: Annotated[
        list[str] | None, typer.Option(help="A cell to take, task-model-variant; repeatable.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where they are made.")] = Path("results/drift"),
    prepared: Annotated[
        Path | None, typer.Option(help="Prepared tasks and models; by default made afresh.")
    ] = None,
    cores: Annotated[int, typer.Option(min=1, help="Cores to use.")] = 1,
    margin: Annotated[
        float, typer.Option(help="The smallest shift of a score that counts, in its unit.")
    ] = 0.01,
    loss_margin: Annotated[
        float, typer.Option(help="The same of the loss, as a share of the mean loss of then.")
    ] = 0.05,
) -> None:
    """Make a few cells again, and say what moved: losses, scores, and under which changes.

    Status 0: every cell is identical, or equivalent within the margins. 1: one has shifted, one
    cannot be told, or a run failed.
    """
    from analysis.drift.findings import Margins
    from analysis.drift.tables import remarks, tables
    from analysis.errors import AnalysisError
    from finegrid.cli import drift as drifting

    for name, value in (("--margin", margin), ("--loss-margin", loss_margin)):
        if not 0 < value < math.inf:
            sys.stderr.write(f"{name} {value}: allowed: a number above 0\n")
            raise typer.Exit(EXIT_CONFIGURATION)
    margins = Margins(score=margin, loss=loss_margin)
    request = drifting.Request(
        results, output, benchmark, cells, tuple(cell or ()), prepared, cores, margins
    )
    try:
        with one_line_errors():
            found = drifting.drift(request, drifting.find_anchors(request), CONSOLE)
    except (AnalysisError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        bad = isinstance(error, AnalysisError)
        raise typer.Exit(EXIT_CONFIGURATION if bad else os.EX_IOERR) from error
    for title, headers, rows in tables(found):
        print_table(title, headers, rows)
    for remark in remarks(found):
        CONSOLE.print(remark, highlight=False, markup=False, soft_wrap=True)
    if not found.unmoved:
        raise typer.Exit(1)


def verify(
    golden: Annotated[Path | None, typer.Option(help="A file of published counts.")] = None,
    board: Annotated[Path | None, typer.Option(help="A file of published peaks of memory.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows here.")] = None,
) -> None:
    """Check published parameter counts or peaks of memory row by row, without a download."""
    if (golden is None) == (board is None):
        sys.stderr.write("verify: allowed: one of --golden FILE and --board FILE\n")
        raise typer.Exit(EXIT_CONFIGURATION)
    if golden is not None:
        from finegrid.published_counts import command as counts

        raise typer.Exit(counts.run(golden, json_file, CONSOLE))
    if board is not None:
        from finegrid.published_memory import command as memory

        raise typer.Exit(memory.run(board, json_file, CONSOLE))
