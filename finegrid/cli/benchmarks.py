"""The commands on a benchmark: check it, plan it, run it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from finegrid.cli.progress import Watch, follow
from finegrid.cli.shared import (
    EXIT_CONFIGURATION,
    ROOT,
    BenchmarkName,
    Results,
    one_line_errors,
    pipeline_of,
)
from finegrid.cli.terminal import CONSOLE, explain_failure, first_table, print_table, show
from finegrid.planning.benchmark import DEFAULT_BENCHMARK
from finegrid.planning.own_files import remarks
from finegrid.records.plan import Plan
from finegrid.training.processes.exits import EXIT_TRY_AGAIN
from finegrid.training.processes.home import SNAKEMAKE, home_problem
from finegrid.training.processes.signals import interruptible
from finegrid.training.tracking import mirror_mode
from tasks.registry import remarks_of
from workflow.pipeline import Pipeline

SNAKEFILE = ROOT / "Snakefile"


def check(benchmark: BenchmarkName = DEFAULT_BENCHMARK) -> None:
    """Check a benchmark file and say what it plans."""
    pipeline = pipeline_of(benchmark, Path("results"))
    plan = pipeline.plan
    gaps = [cell for cell in plan.cells if cell.not_applicable]
    CONSOLE.print(f"{benchmark}: {len(plan.cells)} cells, {_count(plan)}")
    for cell in gaps:
        name = f"{cell.task} x {cell.model} x {cell.variant}"
        CONSOLE.print(f"  not applicable: {name} ({cell.not_applicable})", soft_wrap=True)
    tasks = {spec.task.name: spec.task for spec in plan.runs.values()}
    said = (f"tasks.{name}: {one}" for name, task in tasks.items() for one in remarks_of(task))
    for remark in (*remarks(pipeline.benchmark, pipeline.examiner), *said):
        CONSOLE.print(f"  {remark}", highlight=False, markup=False, soft_wrap=True)


def plan(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK,
    results: Results = Path("results"),
    profile: Annotated[
        Path | None, typer.Option(help="A Snakemake profile, which names the device's memory.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the same here.")] = None,
    trace: Annotated[
        bool, typer.Option(help="Trace a step of every cell, instead of a bound on its memory.")
    ] = True,
) -> None:
    """Say what a benchmark would run and why, and what that takes of memory and time."""
    from analysis.errors import AnalysisError
    from workflow.forecast.command import forecast
    from workflow.forecast.memory import standing_by
    from workflow.forecast.profile import device_memory_gb
    from workflow.forecast.tables import failures, remarks, tables

    with one_line_errors():
        memory = device_memory_gb(profile) if profile else None
    try:
        with standing_by(results) if trace else nullcontext():
            found = forecast(pipeline_of(benchmark, results), memory, trace=trace)
        if json_file:
            found.write(json_file)
    except (AnalysisError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error
    for title, headers, rows in tables(found):
        print_table(title, headers, rows, whole=headers[:1])
    for remark in remarks(found):
        CONSOLE.print(remark, highlight=False, markup=False, soft_wrap=True)
    if any(failures(found)):
        raise typer.Exit(EXIT_CONFIGURATION)


def reproduce(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK,
    cores: Annotated[str, typer.Option(help="Cores to use, a number or all.")] = "all",
    results: Results = Path("results"),
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Train nothing: show the records that exist.")
    ] = False,
) -> None:
    """Run a benchmark through Snakemake, show its progress, and print its table."""
    _check_surroundings()
    pipeline = pipeline_of(benchmark, results, allow_partial)
    watch = Watch(results, list(pipeline.jobs))
    CONSOLE.print(
        f"[bold]{benchmark}[/bold]: {_count(pipeline.plan)}, {len(watch.finished_before)} of them "
        + ("done; the others are left out" if allow_partial else "done before")
    )
    log = results / "logs" / f"snakemake-{pipeline.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    pipeline.anatomies.keep()  # Snakemake plans the same models again
    with log.open("wb") as stream, interruptible() as interruption:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter, arguments without a shell
            _snakemake(benchmark, cores, pipeline),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        follow(process, interruption, watch, CONSOLE, first_table(pipeline, results))
    if process.returncode and interruption.name:
        CONSOLE.print("interrupted: the same command goes on from here")
        raise typer.Exit(EXIT_TRY_AGAIN)
    if process.returncode:
        explain_failure(watch, log)
        raise typer.Exit(process.returncode)
    show(pipeline, results)


def _count(plan: Plan) -> str:
    trials = f"{len(plan.trials)} trials and " if plan.trials else ""
    return f"{trials}{len(plan.runs)} runs"


def _snakemake(benchmark: str, cores: str, pipeline: Pipeline) -> list[str]:
    options = ["--snakefile", str(SNAKEFILE), "--cores", cores, "--rerun-incomplete"]
    # Without a profile: Snakemake would take one of the working folder, and evaluate parts of it,
    # and the one of SNAKEMAKE_PROFILE, which may keep a result though its method was edited.
    options += ["--workflow-profile", "none", "--profile", "none"]
    # Snakemake reads the values as YAML; as JSON they are the text that they are.
    texts = {"benchmark": benchmark, "results": pipeline.results}
    config = ["--config", *(f"{name}={_yaml(text)}" for name, text in texts.items())]
    config += [f"allow_partial={str(pipeline.allow_partial).lower()}"]
    return [sys.executable, "-m", "snakemake", *options, "--keep-going", *config]


def _check_surroundings() -> None:
    """End the command where every run would end for what is around it."""
    with one_line_errors():
        mirror_mode()
    if problem := home_problem(SNAKEMAKE):
        sys.stderr.write(f"{problem}\n")
        raise typer.Exit(EXIT_CONFIGURATION)


def _yaml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
