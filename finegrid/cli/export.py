"""The command that makes a folder of a run's trained model."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from finegrid.cli.results import RunName
from finegrid.cli.shared import EXIT_CONFIGURATION, Results
from finegrid.cli.terminal import CONSOLE
from finegrid.records.result import RESULT_FILE, Result

_FORMATS = ("peft", "merged", "delta")


def export(
    run: RunName,
    form: Annotated[str, typer.Option("--format", help="peft, merged or delta.")],
    output: Annotated[
        Path | None, typer.Option(help="The new folder; by default exports/<run>-<format>.")
    ] = None,
    results: Results = Path("results"),
    prepared: Annotated[Path | None, typer.Option(help="Prepared tasks and models.")] = None,
) -> None:
    """Make a run's model a folder: an adapter of peft, a merged model, or what was trained."""
    from analysis import compare
    from analysis.errors import AnalysisError
    from finegrid.export.trained import ExportError

    try:
        side = compare.find(run, results / "runs")
        if form not in _FORMATS:
            raise ExportError(f"--format {form}: allowed: {', '.join(_FORMATS)}")
        if side.result is None:
            raise ExportError(f"{side.run}: it has no record yet")
        folder = output or Path("exports") / f"{side.run}-{form}"
        _write(
            side.result,
            _folder_of(side.run, run, results),
            prepared or results / "prepared",
            form,
            folder,
        )
    except (AnalysisError, ExportError, OSError) as error:
        sys.stderr.write(f"export: {error}\n")
        raise typer.Exit(EXIT_CONFIGURATION) from error
    CONSOLE.print(f"{folder}", highlight=False, soft_wrap=True)


def _folder_of(name: str, asked: str, results: Path) -> Path:
    """The run's folder: below the results, or at the path that was asked for."""
    below = results / "runs" / name
    path = Path(asked)
    return below if below.is_dir() else path if path.is_dir() else path.parent


def _write(result: Result, made: Path, prepared: Path, form: str, folder: Path) -> None:
    """The folder, whole or not at all. Raises ExportError and OSError."""
    from finegrid.export.card import card
    from finegrid.export.folders import FORMATS, base_name
    from finegrid.export.trained import ExportError, TrainedRun

    if folder.exists():
        raise ExportError(f"--output {folder} exists; allowed: a new folder")
    trained = TrainedRun.checked(result, made, prepared)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        inside = Path(temporary) / folder.name
        inside.mkdir()
        FORMATS[form](trained, inside)
        text = card(
            result, base_name(trained), trained.task.labels, form, _others(result, made.parent)
        )
        (inside / "README.md").write_text(text, encoding="utf-8")
        inside.rename(folder)


def _others(result: Result, runs: Path) -> list[Result]:
    """The finished runs of the same task and model, this one too."""
    beginning = f"{result.spec.task.name}-{result.spec.model.name}-"
    found = [Result.read(path) for path in sorted(runs.glob(f"{beginning}*/{RESULT_FILE}"))]
    same = (result.spec.task, result.spec.model)
    return [one for one in found if (one.spec.task, one.spec.model) == same and one.state == "ok"]
