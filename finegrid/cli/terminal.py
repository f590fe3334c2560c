"""What commands print: tables, what a benchmark found, why it did not finish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from finegrid.cli.progress import Milestone, Watch
from workflow.pipeline import Pipeline
from workflow.priorities import FIRST_SEEDS

CONSOLE = Console()
_LOG_TAIL_LINES = 15


def explain_failure(watch: Watch, log: Path) -> None:
    """Print which runs have not finished, and the end of Snakemake's log."""
    for run in watch.unfinished():
        CONSOLE.print(f"[red]not finished[/red] {run}: see {watch.log(run)}")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    CONSOLE.print(f"Snakemake's last words, from {log}:")
    for line in lines[-_LOG_TAIL_LINES:]:
        CONSOLE.print(f"  {line}", highlight=False, markup=False)


def first_table(pipeline: Pipeline, results: Path) -> Milestone:
    """A table as soon as the seeds that go first are done: every row of it has an interval."""
    plan = pipeline.plan.of_first_seeds(FIRST_SEEDS)

    def tell() -> None:
        from analysis.collect import collect
        from analysis.errors import AnalysisError
        from analysis.tables import short_tables

        try:
            tables = short_tables(collect(plan, results / "runs"))
        except AnalysisError as error:  # the job that collects the records says so again
            CONSOLE.print(f"no first table: {error}", highlight=False, markup=False)
            return
        for title, headers, rows in tables:
            print_table(f"{title} (the first {FIRST_SEEDS} seeds)", headers, rows, headers[:3])

    return Milestone(frozenset(plan.runs), tell)


def show(pipeline: Pipeline, results: Path) -> None:
    """Print a finished benchmark's short tables, the notes below them, and where the rest is."""
    from analysis.columns import short_legend
    from analysis.comparability import split_by_fingerprint
    from analysis.frame import read_pairs, read_runs
    from analysis.notes import cost_notes, coverage, lost_mirrors
    from analysis.tables import short_tables

    frame = read_runs(results / "tables" / f"{pipeline.name}-runs.csv")
    pairs = read_pairs(results / "tables" / f"{pipeline.name}-pairs.csv")
    for title, headers, rows in short_tables(frame, pairs):
        print_table(title, headers, rows, whole=headers[:3])
    below = [short_legend(frame), *cost_notes(split_by_fingerprint(frame)), coverage(frame)]
    for line in (*below, *lost_mirrors(frame)):
        CONSOLE.print(line, highlight=False, markup=False)
    CONSOLE.print()
    for what, where in (
        ("tables", f"tables/{pipeline.name}.md, .csv, .tex"),
        ("pairs", f"tables/{pipeline.name}-pairs.md, .csv"),
        ("plots", f"plots/{pipeline.name}-*.png, .svg"),
        ("report", f"reports/{pipeline.name}.html"),
        ("each run", "runs/<run>/result.json"),
    ):
        CONSOLE.print(f"[bold]{what:>8}[/bold]  {results}/{where}", highlight=False)


def print_table(
    title: str, headers: list[str], rows: list[list[str]], whole: Sequence[str] = ()
) -> None:
    """Print a table; where it is too wide, the columns `whole` are folded last."""
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header in whole)
    for row in rows:
        table.add_row(*map(escape, row))
    CONSOLE.print(table, "")
