"""Every figure of a benchmark, as PNG and SVG.

python -m analysis.plots --runs-table FILE.csv --runs DIR --output DIR --benchmark NAME
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis import curves, memory, scores
from analysis.drawing import Inputs, finish, house_style, save
from analysis.errors import one_line_errors
from analysis.frame import read_runs
from analysis.summary import summarise

BARS = "Error bars: 95 % t intervals over seeds; a point without bars has one seed."


@dataclass(frozen=True)
class FigureKind:
    """A figure that every benchmark gets."""

    name: str
    title: str
    caption: str
    draw: Callable[[Inputs], Figure]


FIGURES = (
    FigureKind(
        "score-by-parameters",
        "Test score against trainable parameters",
        f"Mean over seeds. {BARS} A thin line joins the variants of one method.",
        scores.by_parameters,
    ),
    FigureKind(
        "score-by-memory",
        "Test score against peak training memory",
        f"Means over seeds. {BARS} A thin line joins the variants of one method. Memory is live "
        "tensor storage at the peak of forward, backward and optimizer step.",
        scores.by_memory,
    ),
    FigureKind(
        "memory-by-method",
        "Where training memory goes",
        "Means over seeds. Black: peak of the training step with its 95 % t interval over seeds. "
        "Activations are the peak of forward and backward less the other three.",
        memory.by_method,
    ),
    FigureKind(
        "score-by-rank",
        "Test score against rank",
        f"Mean over seeds. {BARS} Points of one rank stand side by side. Variants without a rank "
        "are horizontal lines.",
        scores.by_rank,
    ),
    FigureKind(
        "learning-curves",
        "Learning curves",
        "Mean over seeds; bands: 95 % t intervals over seeds. The training loss is averaged over "
        f"at most {curves.BINS} stretches of steps; the validation score is shown where it was "
        "evaluated. A wide band is cut at the edge of its panel.",
        curves.learning_curves,
    ),
)


def draw(kind: FigureKind, inputs: Inputs) -> Figure:
    """One figure with its title, its caption and the list of what it cannot show."""
    figure = kind.draw(inputs)
    finish(figure, kind.title, kind.caption, inputs.summary)
    return figure


def write_plots(frame: pd.DataFrame, runs: Path, output: Path, benchmark: str) -> None:
    """Write `<output>/<benchmark>-<figure>.png` and `.svg` of every figure, atomically.

    The same runs table and histories give the same bytes. Raises AnalysisError or OSError.
    """
    inputs = Inputs(frame, summarise(frame), runs)
    for kind in FIGURES:
        with house_style():
            save(draw(kind, inputs), output / f"{benchmark}-{kind.name}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="analysis.plots", description=__doc__)
    parser.add_argument("--runs-table", type=Path, required=True, help="CSV of analysis.collect")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the figures")
    parser.add_argument("--benchmark", required=True, help="the first part of the file names")
    arguments = parser.parse_args()
    with one_line_errors():
        frame = read_runs(arguments.runs_table)
        write_plots(frame, arguments.runs, arguments.output, arguments.benchmark)


if __name__ == "__main__":
    main()
