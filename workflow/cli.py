"""The command line: `finegrid`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from methods.registry import METHODS
from records.registry import RegistrationError, Registry
from tasks.registry import TASKS
from workflow import listing, scaffold
from workflow.benchmark import DEFAULT_BENCHMARK, read_benchmark
from workflow.pipeline import Pipeline
from workflow.plan import make_plan
from workflow.progress import Watch, follow
from workflow.schemas.errors import ConfigurationError

EXIT_CONFIGURATION = 78
ROOT = Path(__file__).parent.parent
SNAKEFILE = ROOT / "Snakefile"
_CONSOLE = Console()
_LOG_TAIL_LINES = 15

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
BenchmarkName = Annotated[str, typer.Argument(help="A benchmark of config/, by its name.")]
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
    _CONSOLE.print(f"{benchmark}: {len(plan.cells)} cells, {len(plan.runs)} runs")
    for cell in gaps:
        name = f"{cell.task} x {cell.model} x {cell.variant}"
        _CONSOLE.print(f"  not applicable: {name} ({cell.not_applicable})", soft_wrap=True)


@app.command()
def reproduce(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK,
    cores: Annotated[str, typer.Option(help="Cores to use, a number or all.")] = "all",
    results: Results = Path("results"),
) -> None:
    """Run a benchmark through Snakemake, show its progress, and print its table."""
    pipeline = _pipeline(benchmark, results)
    watch = Watch(results, list(pipeline.runs))
    _CONSOLE.print(
        f"[bold]{benchmark}[/bold]: {len(watch.runs)} runs, {len(watch.finished_before)} of them "
        "done before"
    )
    log = results / "logs" / f"snakemake-{benchmark}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter, arguments without a shell
            _snakemake(benchmark, cores, results), stdout=stream, stderr=subprocess.STDOUT
        )
        try:
            follow(process, watch, _CONSOLE)
        except KeyboardInterrupt:
            _CONSOLE.print("interrupted: the same command goes on from here")
        code = process.wait()
    if code:
        _explain_failure(watch, log)
        raise typer.Exit(code)
    _show(pipeline, results)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the methods, built in and installed, with their settings."""
    _list(METHODS, as_json)


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the tasks, built in and installed, with their options."""
    _list(TASKS, as_json)


@app.command()
def new_method(
    name: Annotated[str, typer.Argument(help="The method's name, as a benchmark will give it.")],
    directory: Annotated[Path, typer.Option(help="Where the file goes.")] = ROOT / "methods",
) -> None:
    """Start a new method: a file to fill in."""
    with _one_line_errors():
        path = scaffold.new_method(name, directory)
    _CONSOLE.print(f"wrote {path}; fill in what is marked TODO. Read next:", soft_wrap=True)
    for file, purpose in scaffold.NEXT.items():
        _CONSOLE.print(f"  {file}: {purpose}", soft_wrap=True)
    _CONSOLE.print("Its tests, which fail until then:")
    _CONSOLE.print(f"  python -m pytest tests/methods/test_contract.py -k {name}", soft_wrap=True)


@app.command()
def publish(
    benchmark: BenchmarkName = DEFAULT_BENCHMARK, results: Results = Path("results")
) -> None:
    """Make a finished benchmark the committed reference, and its table the README's."""
    from workflow.reference import MissingResultError
    from workflow.reference import publish as copy

    name = _pipeline(benchmark, results).name
    try:
        written = copy(name, results, ROOT / "results" / "reference", ROOT / "README.md")
    except (MissingResultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from error
    _CONSOLE.print(f"{len(written)} files under results/reference")


@app.command()
def verify(
    golden: Annotated[Path, typer.Option(help="A file of published counts.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows here.")] = None,
) -> None:
    """Check published parameter counts row by row, without a download."""
    from workflow.verify.command import run

    raise typer.Exit(run(golden, json_file, _CONSOLE))


def _snakemake(benchmark: str, cores: str, results: Path) -> list[str]:
    options = ["--snakefile", str(SNAKEFILE), "--cores", cores, "--rerun-incomplete"]
    config = ["--config", f"benchmark={benchmark}", f"results={results}"]
    return [sys.executable, "-m", "snakemake", *options, "--keep-going", *config]


def _pipeline(benchmark: str, results: Path) -> Pipeline:
    with _one_line_errors():
        content = read_benchmark(benchmark)
        return Pipeline(content, make_plan(content), str(results))


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End the command with the message alone where its input or a plug-in is at fault."""
    try:
        yield
    except (ConfigurationError, RegistrationError, scaffold.ScaffoldError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(EXIT_CONFIGURATION) from error


def _list(registry: Registry[Any], as_json: bool) -> None:
    with _one_line_errors():
        listed = listing.entries(registry)
    if as_json:
        sys.stdout.write(listing.as_json(listed) + "\n")
        return
    for block in listing.blocks(listed):
        _CONSOLE.print(block)


def _explain_failure(watch: Watch, log: Path) -> None:
    for run in watch.unfinished():
        _CONSOLE.print(f"[red]not finished[/red] {run}: see {watch.log(run)}")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    _CONSOLE.print(f"Snakemake's last words, from {log}:")
    for line in lines[-_LOG_TAIL_LINES:]:
        _CONSOLE.print(f"  {line}", highlight=False, markup=False)


def _show(pipeline: Pipeline, results: Path) -> None:
    from analysis.frame import read_runs
    from analysis.tables import short_tables

    frame = read_runs(results / "tables" / f"{pipeline.name}-runs.csv")
    for title, headers, rows in short_tables(frame):
        table = Table(*headers, title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        _CONSOLE.print(table)
    _CONSOLE.print(
        "test: mean and 95 % t interval over n seeds; memory: peak of training tensors\n"
    )
    for what, where in (
        ("tables", f"tables/{pipeline.name}.md, .csv, .tex"),
        ("plots", f"plots/{pipeline.name}-*.png, .svg"),
        ("report", f"reports/{pipeline.name}.html"),
        ("each run", "runs/<run>/result.json"),
    ):
        _CONSOLE.print(f"[bold]{what:>8}[/bold]  {results}/{where}", highlight=False)


def main() -> None:
    """The entry point of the installed command."""
    app()


if __name__ == "__main__":
    main()
