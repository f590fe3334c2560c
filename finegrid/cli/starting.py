"""The commands that start a benchmark of one's own: write one, and lock what it names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from finegrid.cli.first_benchmark import InitError, write_benchmark
from finegrid.cli.shared import EXIT_CONFIGURATION, BenchmarkName, one_line_errors
from finegrid.cli.terminal import CONSOLE
from finegrid.planning.benchmark import benchmark_file, load_content, parse_benchmark, plain_content
from finegrid.planning.guess import Options
from finegrid.planning.lock import Lock, lock_file, read_lock
from finegrid.planning.locking import make_lock
from finegrid.planning.plan import make_plan
from finegrid.prepare.examined import Examiner
from finegrid.records.registry import unknown_name
from kinds.registry import KINDS


def init(
    data: Annotated[str, typer.Argument(help="A table file, a folder, or hub:<owner>/<name>.")],
    model: Annotated[
        str | None,
        typer.Argument(help="A model's folder, or hub:<owner>/<name>; none for rows of numbers."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; by default named after the data.")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The column of the text, or of what a learnt text follows.")
    ] = None,
    pair: Annotated[str | None, typer.Option(help="The column of a second text.")] = None,
    label: Annotated[
        str | None, typer.Option(help="The column of the label, or of the text that is learnt.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="A kind of task, of those that `finegrid kinds` lists.")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the file, as cp1252.")] = None,
    decimal: Annotated[
        str | None, typer.Option(help="What stands before the decimals of numbers: . or ,")
    ] = None,
    quotes: Annotated[
        bool, typer.Option(help="Whether quotes stand about values, else are plain signs.")
    ] = True,
) -> None:
    """Write a benchmark on your own data and model: what was guessed of them, and why."""
    if kind is not None and kind not in KINDS:
        _end(f"--kind: {unknown_name('kind', kind, list(KINDS))}")
    if decimal not in (None, ".", ","):
        _end(f"--decimal: {decimal!r} is not allowed; allowed: . or ,")
    try:
        options = Options(text, pair, label, kind, encoding, quotes, decimal)
        examiner = Examiner()
        written = write_benchmark(data, model, options, output, examiner)
    except (InitError, OSError) as error:
        _end(str(error))
    _say(f"wrote {written.file}; guessed, and to be changed there:")
    for reason in written.reasons:
        _say(f"  {reason}")
    if written.needs_lock:
        lock(str(written.file))
    with one_line_errors():
        content = load_content(written.file)
        plan = make_plan(parse_benchmark(content, [written.file]), examiner)
    trials = f"{len(plan.trials)} trials and " if plan.trials else ""
    _say(f"{trials}{len(plan.runs)} runs: finegrid reproduce {written.file}")


def lock(
    benchmark: BenchmarkName,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Take repositories of the Hub as they are now.")
    ] = False,
) -> None:
    """Resolve what a benchmark names by hub: and path:, once, into <benchmark>.lock.json."""
    with one_line_errors():
        file = benchmark_file(benchmark)
        content = plain_content(load_content(file))
        before = Lock() if upgrade else read_lock([file])
        made = make_lock(content if isinstance(content, dict) else {}, before, say=_say)
    if not made.tasks and not made.models:
        _say(f"{file} names no files, and no model by hub: or path: alone; nothing to lock")
        return
    made.write(lock_file(file))
    _say(f"wrote {lock_file(file)}")


def _say(line: str) -> None:
    CONSOLE.print(line, highlight=False, markup=False, soft_wrap=True)


def _end(message: str) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    raise typer.Exit(EXIT_CONFIGURATION)
