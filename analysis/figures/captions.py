"""The figures of a benchmark by their names, with titles and captions. Loads no matplotlib."""

from dataclasses import dataclass

import pandas as pd

from analysis.comparisons.across import has_several_groups
from analysis.figures.steps import BINS
from analysis.frame import TUNED, TUNED_RATE, present
from analysis.quantities import count_text
from analysis.statistics.bootstrap import RESAMPLES

BARS = "Error bars: 95 % t intervals over seeds; a point without bars has one seed."


@dataclass(frozen=True)
class Caption:
    """What stands above and below a figure."""

    name: str
    """The end of the names of its files."""
    title: str
    text: str


FIGURES = (
    Caption(
        "score-by-parameters",
        "Test score against trainable parameters",
        f"Mean over seeds. {BARS} A thin line joins the variants of one method.",
    ),
    Caption(
        "score-by-memory",
        "Test score against peak training memory",
        f"Means over seeds. {BARS} A thin line joins the variants of one method. Memory is live "
        "tensor storage at the peak of forward, backward and optimizer step.",
    ),
    Caption(
        "memory-by-method",
        "Where training memory goes",
        "Means over seeds. Black: peak of the training step with its 95 % t interval over seeds. "
        "Each part is at its largest: gradients take the place of activations, so the four may sum "
        "to more than the peak. Activations are what forward leaves for backward.",
    ),
    Caption(
        "score-by-rank",
        "Test score against rank",
        f"Mean over seeds. {BARS} Points of one rank stand side by side. Variants without a rank "
        "are horizontal lines.",
    ),
    Caption(
        "learning-curves",
        "Learning curves",
        "Mean over seeds; bands: 95 % t intervals over seeds. The training loss is averaged over "
        f"at most {BINS} stretches of steps; the validation score is shown where it was "
        "evaluated. A wide band is cut at the edge of its panel.",
    ),
    Caption(
        "pareto",
        "Test score against each cost, with the Pareto front",
        "Means over seeds. Vertical bars: 95 % t intervals over seeds. The staircase joins the "
        "cells that no other cell beats in one of score and cost without losing in the other. "
        f"The larger a marker, the more of {RESAMPLES:,} resamples of seeds and test items, the "
        "same for all cells, have the cell on the front; a percentage says how many where that is "
        "neither 0 nor 100 %. A cell of one seed stands beside the front of cells with several. "
        "Cells whose costs do not compare have fronts of their own.",
    ),
)

ACROSS = (
    Caption(
        "critical-difference",
        "Mean ranks over tasks and models",
        "Mean rank of the mean test score over the groups of task and model; 1 is best. A bar "
        "joins variants whose mean ranks lie closer than the critical difference of Nemenyi at "
        "level 0.05: they cannot be told apart, which is no evidence that they are equal. Where "
        "Friedman's test is not significant, one bar joins all.",
    ),
    Caption(
        "performance-profile",
        "Performance profiles over tasks and models",
        "For each score, the share of the runs of a variant that lie above it, all seeds and "
        "groups of task and model pooled. A line above another is better.",
    ),
)
"""The figures of a benchmark with several groups of task and model."""


def captions(frame: pd.DataFrame, trials: pd.DataFrame | None) -> tuple[Caption, ...]:
    """Those of the figures of a benchmark.

    Those that every one has, those over several groups where there are some, and that of the
    trials of a tuned one.
    """
    found = FIGURES + ACROSS if has_several_groups(frame) else FIGURES
    if trials is None:
        return found
    title = "Validation score against learning rate"
    return (*found, Caption("tuning", title, _of_trials(trials)))


def _of_trials(trials: pd.DataFrame) -> str:
    """What stands below the figure: items, seed, and how to read the marks."""
    names = [str(name) for name in trials if name != TUNED_RATE]
    others = [name.removeprefix(TUNED) for name in names if name.startswith(TUNED)]
    seeds = ", ".join(str(seed) for seed in present(trials, "seed").unique()) or "none yet"
    best = f" A point is the best over the values of {' and '.join(others)}." if others else ""
    return (
        f"Score on the validation split ({_items(trials)}) of trials on seed {seeds}, one a point, "
        f"so that there is no interval.{best} Outlined: the chosen learning rate; a triangle "
        "points to the edge of those tried at which it lies. Hollow, at the lower edge of a panel: "
        "no trial with this learning rate has a score."
    )


def _items(trials: pd.DataFrame) -> str:
    """The validation items of all tasks, or of each where they differ."""
    known = trials.dropna(subset="n")[["task", "n"]].drop_duplicates()
    if known["n"].nunique() > 1:
        return ", ".join(f"{task} {count_text(n)}" for task, n in known.values) + " items"
    return f"{count_text(known['n'].max())} items"
