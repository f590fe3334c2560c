"""Every figure of a benchmark, as PNG and SVG.

python -m analysis.plots --runs-table FILE.csv --runs DIR --output DIR --benchmark NAME
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.comparability import split_by_fingerprint
from analysis.comparisons.across import has_several_groups
from analysis.errors import one_line_errors
from analysis.figures import curves, fronts, memory, ranks, scores, tuning
from analysis.figures.drawing import Inputs, finish, house_style, save
from analysis.figures.steps import BINS
from analysis.frame import read_runs, read_trials
from analysis.notes import cost_notes, gaps
from analysis.statistics.bootstrap import RESAMPLES
from analysis.summary import summarise

BARS = "Error bars: 95 % t intervals over seeds; a point without bars has one seed."


def _gaps(inputs: Inputs) -> list[str]:
    return gaps(inputs.summary)


def _gaps_of_costs(inputs: Inputs) -> list[str]:
    return [*_gaps(inputs), *cost_notes(split_by_fingerprint(inputs.frame))]


@dataclass(frozen=True)
class FigureKind:
    """A figure of a benchmark."""

    name: str
    title: str
    caption: str
    draw: Callable[[Inputs], Figure]
    unshown: Callable[[Inputs], list[str]] = _gaps
    """What the figure cannot show, a line each."""


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
        _gaps_of_costs,
    ),
    FigureKind(
        "memory-by-method",
        "Where training memory goes",
        "Means over seeds. Black: peak of the training step with its 95 % t interval over seeds. "
        "Each part is at its largest: gradients take the place of activations, so the four may sum "
        "to more than the peak. Activations are what forward leaves for backward.",
        memory.by_method,
        _gaps_of_costs,
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
        f"at most {BINS} stretches of steps; the validation score is shown where it was "
        "evaluated. A wide band is cut at the edge of its panel.",
        curves.learning_curves,
    ),
    FigureKind(
        "pareto",
        "Test score against each cost, with the Pareto front",
        "Means over seeds. Vertical bars: 95 % t intervals over seeds. The staircase joins the "
        "cells that no other cell beats in one of score and cost without losing in the other. "
        f"The larger a marker, the more of {RESAMPLES:,} resamples of seeds and test items, the "
        "same for all cells, have the cell on the front; a percentage says how many where that is "
        "neither 0 nor 100 %. A cell of one seed stands beside the front of cells with several. "
        "Cells whose costs do not compare have fronts of their own.",
        fronts.by_cost,
        _gaps_of_costs,
    ),
)

ACROSS = (
    FigureKind(
        "critical-difference",
        "Mean ranks over tasks and models",
        "Mean rank of the mean test score over the groups of task and model; 1 is best. A bar "
        "joins variants whose mean ranks lie closer than the critical difference of Nemenyi at "
        "level 0.05: they cannot be told apart, which is no evidence that they are equal. Where "
        "Friedman's test is not significant, one bar joins all.",
        ranks.critical_difference,
        ranks.unshared,
    ),
    FigureKind(
        "performance-profile",
        "Performance profiles over tasks and models",
        "For each score, the share of the runs of a variant that lie above it, all seeds and "
        "groups of task and model pooled. A line above another is better.",
        ranks.profile,
        ranks.unshared,
    ),
)
"""The figures of a benchmark with several groups of task and model."""


def figure_kinds(frame: pd.DataFrame, trials: pd.DataFrame | None) -> tuple[FigureKind, ...]:
    """The figures of a benchmark.

    Those that every one has, those over several groups where there are some, and that of the
    trials of a tuned one.
    """
    kinds = FIGURES + ACROSS if has_several_groups(frame) else FIGURES
    if trials is None:
        return kinds
    caption = tuning.caption(trials)
    by_rate = FigureKind(
        "tuning", tuning.TITLE, caption, tuning.by_learning_rate, tuning.trial_gaps
    )
    return (*kinds, by_rate)


def draw(kind: FigureKind, inputs: Inputs) -> Figure:
    """One figure with its title, its caption and the list of what it cannot show."""
    figure = kind.draw(inputs)
    finish(figure, kind.title, kind.caption, kind.unshown(inputs))
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
    for kind in figure_kinds(frame, trials):
        with house_style():
            save(draw(kind, inputs), output / f"{benchmark}-{kind.name}")


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
