"""The commands that show what there is, and the one that starts a method."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from finegrid.cli import listing, scaffold
from finegrid.cli.shared import EXIT_CONFIGURATION, ROOT, one_line_errors
from finegrid.cli.terminal import CONSOLE, print_table
from finegrid.metrics.registry import METRICS
from finegrid.records.registry import Registry
from kinds.registry import KINDS
from methods.registry import METHODS
from tasks.registry import TASKS

AsJson = Annotated[bool, typer.Option("--json", help="Print the same as JSON.")]


def methods(as_json: AsJson = False) -> None:
    """List the methods, built in and installed, with their settings."""
    _list(METHODS, as_json)


def tasks(as_json: AsJson = False) -> None:
    """List the tasks, built in and installed, with their options."""
    _list(TASKS, as_json)


def metrics(as_json: AsJson = False) -> None:
    """List the metrics, built in and installed."""
    _list(METRICS, as_json)


def kinds(as_json: AsJson = False) -> None:
    """List the kinds of task, built in and installed."""
    _list(KINDS, as_json)


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


def new_method(
    name: Annotated[str, typer.Argument(help="The method's name, as a benchmark will give it.")],
    directory: Annotated[Path, typer.Option(help="Where the file goes.")] = ROOT / "methods",
) -> None:
    """Start a new method: a file to fill in."""
    with one_line_errors():
        path = scaffold.new_method(name, directory)
    CONSOLE.print(f"wrote {path}; fill in what is marked TODO. Read next:", soft_wrap=True)
    for file, purpose in scaffold.NEXT.items():
        CONSOLE.print(f"  {file}: {purpose}", soft_wrap=True)
    CONSOLE.print("Its tests, which fail until then:")
    CONSOLE.print(f"  python -m pytest tests/methods/test_contract.py -k {name}", soft_wrap=True)


def _list(registry: Registry[Any], as_json: bool) -> None:
    with one_line_errors():
        listed = listing.entries(registry)
    if as_json:
        sys.stdout.write(listing.as_json(listed) + "\n")
        return
    for block in listing.blocks(listed):
        CONSOLE.print(block)
