"""Every figure of a benchmark, as PNG and SVG.

python -m analysis.plots --runs-table FILE.csv --runs DIR --output DIR --benchmark NAME
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.comparability import split_by_fingerprint
from analysis.errors import one_line_errors
from analysis.figures import curves, fronts, memory, ranks, scores, tuning
from analysis.figures.captions import Caption, captions
from analysis.figures.drawing import Inputs, finish, house_style, save
from analysis.frame import read_runs, read_trials
from analysis.notes import cost_notes, dequantised_notes, gaps
from analysis.summary import summarise


def _gaps(inputs: Inputs) -> list[str]:
    return [*dequantised_notes(inputs.frame), *gaps(inputs.summary)]


def _gaps_of_costs(inputs: Inputs) -> list[str]:
    return [*_gaps(inputs), *cost_notes(split_by_fingerprint(inputs.frame))]


@dataclass(frozen=True)
class Drawing:
    """How a figure is drawn."""

    draw: Callable[[Inputs], Figure]
    unshown: Callable[[Inputs], list[str]] = _gaps
    """What the figure cannot show, a line each."""


DRAWINGS: Mapping[str, Drawing] = {
    "score-by-parameters": Drawing(scores.by_parameters),
    "score-by-memory": Drawing(scores.by_memory, _gaps_of_costs),
    "memory-by-method": Drawing(memory.by_method, _gaps_of_costs),
    "score-by-rank": Drawing(scores.by_rank),
    "learning-curves": Drawing(curves.learning_curves),
    "pareto": Drawing(fronts.by_cost, _gaps_of_costs),
    "critical-difference": Drawing(ranks.critical_difference, ranks.unshared),
    "performance-profile": Drawing(ranks.profile, ranks.unshared),
    "tuning": Drawing(tuning.by_learning_rate, tuning.trial_gaps),
}
"""By the names of their captions."""


def draw(caption: Caption, inputs: Inputs) -> Figure:
    """One figure with its title, its caption and the list of what it cannot show."""
    drawing = DRAWINGS[caption.name]
    figure = drawing.draw(inputs)
    finish(figure, caption.title, caption.text, drawing.unshown(inputs))
    return figure


def write_plots(
    frame: pd.DataFrame,
    runs: Path,
    output: Path,
    benchmark: str,
    trials: pd.DataFrame | None = None,
) -> None:
    """Write `<output>/<benchmark>-<figure>.png` and `.svg` of every figure, atomically.

    The same tables and histories give the same bytes. Raises AnalysisError or OSError.
    """
    inputs = Inputs(frame, summarise(frame), runs, trials)
    for caption in captions(frame, trials):
        with house_style():
            save(draw(caption, inputs), output / f"{benchmark}-{caption.name}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="analysis.plots", description=__doc__)
    parser.add_argument("--runs-table", type=Path, required=True, help="CSV of analysis.collect")
    parser.add_argument("--tuning-table", type=Path, help="CSV of all trials, if there are any")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the figures")
    parser.add_argument("--benchmark", required=True, help="the first part of the file names")
    arguments = parser.parse_args()
    with one_line_errors():
        frame = read_runs(arguments.runs_table)
        trials = read_trials(arguments.tuning_table) if arguments.tuning_table else None
        write_plots(frame, arguments.runs, arguments.output, arguments.benchmark, trials)


if __name__ == "__main__":
    main()
