"""The command line: `finegrid`."""

from __future__ import annotations

import typer

from finegrid.cli import benchmarks, export, registered, rehearsal, results, starting
from workflow.surroundings import shut_out_working_folder

COMMANDS = (
    starting.init,
    starting.lock,
    benchmarks.check,
    benchmarks.plan,
    rehearsal.rehearse,
    benchmarks.reproduce,
    registered.methods,
    registered.tasks,
    registered.metrics,
    registered.kinds,
    registered.anatomy,
    registered.new_method,
    results.publish,
    results.compare,
    results.rescore,
    results.drift,
    results.verify,
    export.export,
)
"""In the order of the help."""

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
for _command in COMMANDS:
    app.command()(_command)


@app.callback()
def _main() -> None:
    """Measure what each way of fine-tuning costs and what it buys."""


def main() -> None:
    """The entry point of the installed command."""
    shut_out_working_folder()
    app()


if __name__ == "__main__":
    main()
