"""What the groups of commands share: their arguments, a plan, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from finegrid.cli.scaffold import ScaffoldError
from finegrid.problems import ConfigurationError
from finegrid.records.registry import RegistrationError
from finegrid.training.tracking import ModeError
from workflow.pipeline import Pipeline

EXIT_CONFIGURATION = 78
ROOT = Path(__file__).parents[2]

BenchmarkName = Annotated[str, typer.Argument(help="A benchmark: a name of config/, or a path.")]
Results = Annotated[Path, typer.Option(help="Where everything is written.")]


def pipeline_of(benchmark: str, results: Path, allow_partial: bool = False) -> Pipeline:
    """The pipeline of a benchmark; ends the command where the benchmark is wrong."""
    config = {"benchmark": benchmark, "results": str(results), "allow_partial": allow_partial}
    with one_line_errors():
        return Pipeline.plan_from(config)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the command with the message alone where its input or a plug-in is at fault."""
    try:
        yield
    except (ConfigurationError, RegistrationError, ModeError, ScaffoldError) as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(EXIT_CONFIGURATION) from error
