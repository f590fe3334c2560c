"""The command line: `finegrid`."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from finegrid.cli import listing, scaffold
from finegrid.cli.progress import Watch, follow
from finegrid.cli.terminal import CONSOLE, explain_failure, print_table, show
from finegrid.metrics.registry import METRICS
from finegrid.planning.benchmark import DEFAULT_BENCHMARK
from finegrid.problems import ConfigurationError
from finegrid.records.plan import Plan
from finegrid.records.registry import RegistrationError, Registry
from finegrid.records.result import RESULT_FILE
from finegrid.training.processes.exits import EXIT_TRY_AGAIN
from finegrid.training.processes.home import SNAKEMAKE, home_problem
from finegrid.training.processes.signals import interruptible
from finegrid.training.tracking import ModeError, mirror_mode
from methods.registry import METHODS
from tasks.registry import TASKS
from workflow.pipeline import Pipeline
from workflow.surroundings import shut_out_working_folder

EXIT_CONFIGURATION = 78
ROOT = Path(__file__).parents[2]
SNAKEFILE = ROOT / "Snakefile"

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
BenchmarkName = Annotated[str, typer.Argument(help="A benchmark of config/, by its name.")]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's name or its beginning, or a path.")
]
Results = Annotated[Path, typer.Option(help="Where everything is written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the same as JSON.")]


@app.callback()
def _main() -> None:
    """Measure what each way of fine-tuning costs and what it buys."""


@app.command()
def check(benchmark: BenchmarkName = DEFAULT_BENCHMARK) -> None:
    """Check a benchmark file and say what it plans."""
    plan = _pipeline(benchmark, Path("results")).plan
    gaps = [cell for cell in plan.cells if cell.not_applicable]
    CONSOLE.print(f"{benchmark}: {len(plan.cells)} cells, {_count(plan)}")
    for cell in gaps:
        name = f"{cell.task} x {cell.model} x {cell.variant}"
        CONSOLE.print(f"  not applicable: {name} ({cell.not_applicable})", soft_wrap=True)


@app.command()
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
    from workflow.forecast.profile import device_memory_gb
    from workflow.forecast.tables import failures, remarks, tables

    with _one_line_errors():
        memory = device_memory_gb(profile) if profile else None
    try:
        found = forecast(_pipeline(benchmark, results), memory, trace=trace)
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


@app.command()
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
    pipeline = _pipeline(benchmark, results, allow_partial)
    watch = Watch(results, list(pipeline.jobs))
    CONSOLE.print(
        f"[bold]{benchmark}[/bold]: {_count(pipeline.plan)}, {len(watch.finished_before)} of them "
        + ("done; the others are left out" if allow_partial else "done before")
    )
    log = results / "logs" / f"snakemake-{pipeline.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream, interruptible() as interruption:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter, arguments without a shell
            _snakemake(benchmark, cores, pipeline),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        follow(process, interruption, watch, CONSOLE)
    if process.returncode and interruption.name:
        CONSOLE.print("interrupted: the same command goes on from here")
        raise typer.Exit(EXIT_TRY_AGAIN)
    if process.returncode:
        explain_failure(watch, log)
        raise typer.Exit(process.returncode)
    show(pipeline, results)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the methods, built in and installed, with their settings."""
    _list(METHODS, as_json)


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the tasks, built in and installed, with their options."""
    _list(TASKS, as_json)


@app.command()
def metrics(as_json: AsJson = False) -> None:
    """List the metrics, built in and installed."""
    _list(METRICS, as_json)


@app.command()
def anatomy(
    model: Annotated[str, typer.Argument(help="A folder with a config.json, or a model type.")],
    loader: Annotated[
        str | None, typer.Option(help="Auto class of transformers to build it by.")
    ] = None,
) -> None:
    """Show what methods find in a model: layers by role, coverage, attention, head."""
    from finegrid.cli import anatomy as showing
    from finegrid.models.discovery import AnatomyError

    try:
        name, found = showing.find(model, loader)
    except AnatomyError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(EXIT_CONFIGURATION) from error
    print_table(f"{found.model_type}: {name}", showing.HEADERS, showing.table(found))
    for remark in showing.remarks(found):
        CONSOLE.print(remark, highlight=False, markup=False, soft_wrap=True)


@app.command()
def new_method(
    name: Annotated[str, typer.Argument(help="The method's name, as a benchmark will give it.")],
    directory: Annotated[Path, typer.Option(help="Where the file goes.")] = ROOT / "methods",
) -> None:
    """Start a new method: a file to fill in."""
    with _one_line_errors():
        path = scaffold.new_method(name, directory)
    CONSOLE.print(f"wrote {path}; fill in what is marked TODO. Read next:", soft_wrap=True)
    for file, purpose in scaffold.NEXT.items():
        CONSOLE.print(f"  {file}: {purpose}", soft_wrap=True)
    CONSOLE.print("Its tests, which fail until then:")
    CONSOLE.print(f"  python -m pytest tests/methods/test_contract.py -k {name}", soft_wrap=True)


@app.command()
def publish(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK, results: Results = Path("results")
) -> None:
    """Make a finished benchmark part of the committed reference.

    The default benchmark's table becomes the README's.
    """
    from finegrid.cli import reference

    pipeline, home = _pipeline(benchmark, results), ROOT / "results" / "reference"
    files = [Path(path) for path in pipeline.outputs.all]
    try:
        written = reference.publish(pipeline.name, files, results, home)
        if pipeline.name == DEFAULT_BENCHMARK:
            reference.show(pipeline.name, home, ROOT / "README.md")
    except (reference.MissingResultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error
    CONSOLE.print(f"{len(written)} files under results/reference")


@app.command()
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


@app.command()
def rescore(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK, results: Results = Path("results")
) -> None:
    """Compute every score again from the stored predictions, and hold it against the record."""
    from finegrid.training import rescore as scoring

    runs = [results / "runs" / run for run in _pipeline(benchmark, results).jobs]
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


@app.command()
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
        with _one_line_errors():
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


@app.command()
def verify(
    golden: Annotated[Path, typer.Option(help="A file of published counts.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows here.")] = None,
) -> None:
    """Check published parameter counts row by row, without a download."""
    from finegrid.published_counts.command import run

    raise typer.Exit(run(golden, json_file, CONSOLE))


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
    with _one_line_errors():
        mirror_mode()
    if problem := home_problem(SNAKEMAKE):
        sys.stderr.write(f"{problem}\n")
        raise typer.Exit(EXIT_CONFIGURATION)


def _yaml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _pipeline(benchmark: str, results: Path, allow_partial: bool = False) -> Pipeline:
    config = {"benchmark": benchmark, "results": str(results), "allow_partial": allow_partial}
    with _one_line_errors():
        return Pipeline.plan_from(config)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End the command with the message alone where its input or a plug-in is at fault."""
    try:
        yield
    except (ConfigurationError, RegistrationError, ModeError, scaffold.ScaffoldError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(EXIT_CONFIGURATION) from error


def _list(registry: Registry[Any], as_json: bool) -> None:
    with _one_line_errors():
        listed = listing.entries(registry)
    if as_json:
        sys.stdout.write(listing.as_json(listed) + "\n")
        return
    for block in listing.blocks(listed):
        CONSOLE.print(block)


def main() -> None:
    """The entry point of the installed command."""
    shut_out_working_folder()
    app()


if __name__ == "__main__":
    main()
