"""The figure of the trials: validation score against learning rate."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from analysis.figures.drawing import (
    MUTED,
    Inputs,
    Look,
    column,
    empty,
    facets,
    looks,
    metric_label,
    sign_lines,
    strip,
    variant_handles,
)
from analysis.frame import STATES, TUNED_RATE
from analysis.metric import sign_of
from analysis.summary import CELL, cell_names

NO_TRIAL = "no trial with a record"
MARKS = {"": "o", "lower": "<", "upper": ">"}
"""The outline about a chosen value, by the edge at which it lies."""


def by_learning_rate(inputs: Inputs) -> Figure:
    """Validation score against learning rate, a line a variant, the chosen values marked.

    A point is the best of the trials with its learning rate. Raises ValueError where the benchmark
    has no trials table.
    """
    trials = _trials(inputs)
    look, shown = looks(inputs.summary), inputs.summary.assign(difference="")
    figure, panels = facets(shown)
    for _, cells, (axes,) in panels:
        own = trials.merge(cells[CELL].drop_duplicates(), on=CELL)
        unrecorded = _unrecorded(cells, own)
        absent = sign_lines(unrecorded, unrecorded["sign"])
        if own.empty:
            empty(axes, NO_TRIAL, absent)
            continue
        _lines(axes, own, look)
        _dress(axes, own)
        _failures(axes, own, look, absent)
    _legend(figure, trials, look)
    return figure


def trial_gaps(inputs: Inputs) -> list[str]:
    """One line a sign: the cells with trials that are not ok, and those without any.

    Raises ValueError where the benchmark has no trials table.
    """
    trials = _trials(inputs)
    cells = trials.groupby(CELL, sort=False)["state"]
    found = [
        (f"{state} {(states == state).sum()} of {len(states)} trials", task, model, variant)
        for (task, model, variant), states in cells
        for state in STATES[1:]
        if (states == state).any()
    ]
    gaps = pd.DataFrame(found, columns=["sign", *CELL])
    unrecorded = _unrecorded(inputs.summary, trials)
    return [
        f"{sign}: {cell_names(rows)}"
        for sign, rows in pd.concat([gaps, unrecorded]).groupby("sign", sort=False)
    ]


def _trials(inputs: Inputs) -> pd.DataFrame:
    if inputs.trials is None:
        raise ValueError("the benchmark has no trials table")
    return inputs.trials


def _unrecorded(cells: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The cells without a trial, with their sign."""
    known = pd.MultiIndex.from_frame(trials[CELL])
    rows = cells[~pd.MultiIndex.from_frame(cells[CELL]).isin(known)].drop_duplicates(CELL)
    sign = rows["state"].where(rows["state"] == "not applicable", NO_TRIAL)
    return rows[CELL].assign(sign=sign)


def _lines(axes: Axes, trials: pd.DataFrame, look: dict[str, Look]) -> None:
    """The best score at each learning rate, and the outline of the chosen value."""
    order = [True, sign_of(trials) > 0]
    scored = trials.dropna(subset="score").sort_values([TUNED_RATE, "score"], ascending=order)
    best = scored.drop_duplicates(["variant", TUNED_RATE], keep="last")
    for variant, rows in best.groupby("variant", sort=False):
        shape = look[str(variant)]
        axes.plot(
            column(rows, TUNED_RATE),
            column(rows, "score"),
            color=shape.color,
            linestyle=shape.dashes,
            marker=shape.marker,
            linewidth=1.3,
            markersize=7,
            markeredgecolor="white",
        )
    for _, row in scored[scored["chosen"]].iterrows():
        edge = "" if pd.isna(row["edge"]) else str(row["edge"])
        axes.plot([row[TUNED_RATE]], [row["score"]], **_outline(edge))


def _outline(edge: str) -> dict[str, Any]:
    return {
        "marker": MARKS[edge],
        "linestyle": "none",
        "markersize": 17 if edge else 13,
        "markerfacecolor": "none",
        "markeredgecolor": "black",
        "markeredgewidth": 1.3,
        "zorder": 4,
    }


def _dress(axes: Axes, trials: pd.DataFrame) -> None:
    rates = column(trials, TUNED_RATE)
    margin = max((rates.max() / rates.min()) ** 0.12, 1.4)
    axes.set_xscale("log")
    axes.set_xlim(rates.min() / margin, rates.max() * margin)
    axes.margins(y=0.12)
    axes.set_xlabel("learning rate")
    axes.set_ylabel(metric_label(trials, "validation"))
    if trials["score"].isna().all():
        axes.set_yticks([])


def _failures(axes: Axes, trials: pd.DataFrame, look: dict[str, Look], absent: list[str]) -> None:
    """The learning rates at which no trial has a score, at the lower edge, two rows a variant.

    One row holds the marks, the next their signs. Below them stand the lines of the variants
    without a trial.
    """
    at_rate = trials.groupby(["variant", TUNED_RATE], sort=False)
    signs = at_rate["state"].agg(lambda states: ", ".join(states.unique()))
    lost = signs[at_rate["score"].count() == 0].reset_index()
    variants = list(dict.fromkeys(lost["variant"]))
    heights = strip(axes, absent, 2 * len(variants)).reshape(-1, 2)
    for variant, rate, sign in lost.itertuples(index=False):
        _failure(axes, rate, heights[variants.index(variant)], sign, look[variant])


def _failure(axes: Axes, rate: float, heights: NDArray[np.float64], sign: str, shape: Look) -> None:
    below, height = heights
    across = axes.get_xaxis_transform()
    axes.plot(
        [rate],
        [height],
        marker=shape.marker,
        color=shape.color,
        markerfacecolor="white",
        markersize=6,
        transform=across,
    )
    axes.text(
        rate,
        below,
        sign,
        ha="center",
        va="center",
        color=MUTED,
        fontsize="x-small",
        transform=across,
    )


def _legend(figure: Figure, trials: pd.DataFrame, look: dict[str, Look]) -> None:
    """The variants with a trial, and the outlines of the chosen values."""
    chosen = trials[trials["chosen"]]
    edges = set(chosen["edge"].fillna(""))
    handles = variant_handles(dict.fromkeys(trials["variant"]), look, lines=True)
    handles += [
        Line2D([], [], label=f"chosen{f', at the {edge} edge' if edge else ''}", **_outline(edge))
        for edge in MARKS
        if edge in edges
    ]
    if handles:
        figure.legend(handles=handles, loc="outside right upper", handlelength=3)
