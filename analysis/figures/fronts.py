"""The figure of the Pareto fronts: test score against each cost, and how sure each front is."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.comparisons.pareto import COSTS, SCORE, pareto_rows
from analysis.figures.drawing import (
    MUTED,
    NOTHING,
    Inputs,
    Look,
    column,
    empty,
    errors,
    facets,
    legend,
    looks,
    metric_label,
    signs,
    strip,
)
from analysis.figures.scores import memory_axis, parameter_axis

PANEL_INCHES = 2.7
SMALLEST, LARGEST = 5.0, 11.0
"""Marker sizes in points, of probability 0 and 1."""
UNSURE = (0.005, 0.995)
"""The probabilities that are written beside the marker: others read as 0 or 100 %."""
_CELL = ["task", "model", "difference", "variant"]


def by_cost(inputs: Inputs) -> Figure:
    """Test score against parameters, memory and time, with the front of the means in each panel."""
    rows, look = pareto_rows(inputs.frame, inputs.runs), looks(inputs.summary)
    figure, panels = facets(inputs.summary, panels=len(COSTS), height=PANEL_INCHES * len(COSTS))
    for _, cells, axes in panels:
        for panel, cost in zip(axes, COSTS, strict=True):
            own = rows[(rows["cost"] == cost) & (rows["n_seeds"] > 0)]
            shown = cells.merge(
                own[[*_CELL, "cost_mean", "front", "on_front", "front_probability"]], on=_CELL
            )
            absent = signs(cells[~cells["variant"].isin(shown["variant"])])
            if shown.empty:
                empty(panel, NOTHING, absent)
                continue
            _panel(panel, shown, look)
            _dress(panel, shown, cost)
            strip(panel, absent)
    legend(figure, inputs.summary, look)
    return figure


def _panel(axes: Axes, cells: pd.DataFrame, look: dict[str, Look]) -> None:
    """Each front as a staircase, and each cell as large as it is likely to lie on its own."""
    x, y, error = column(cells, "cost_mean"), column(cells, f"{SCORE}_mean"), errors(cells, SCORE)
    for _, places in cells.assign(at=np.arange(len(cells))).groupby("front", dropna=False)["at"]:
        members = places.to_numpy()[cells["on_front"].iloc[places].fillna(value=False).astype(bool)]
        members = members[np.argsort(x[members], kind="stable")]
        axes.step(x[members], y[members], where="post", color=MUTED, linewidth=1.2, zorder=1)
    for index, (variant, probability) in enumerate(
        zip(cells["variant"], cells["front_probability"], strict=True)
    ):
        unknown = pd.isna(probability)
        axes.errorbar(
            x[index],
            y[index],
            yerr=error[:, [index]],
            fmt=look[variant].marker,
            color=look[variant].color,
            markersize=SMALLEST if unknown else SMALLEST + (LARGEST - SMALLEST) * probability,
            markeredgecolor="white",
            capsize=2,
            elinewidth=0.9,
            zorder=3,
        )
        if not unknown and UNSURE[0] <= probability < UNSURE[1]:
            axes.annotate(
                f"{100 * probability:.0f} %",
                (x[index], y[index]),
                (6, 5),
                textcoords="offset points",
                fontsize="x-small",
                color=MUTED,
            )


def _dress(axes: Axes, cells: pd.DataFrame, cost: str) -> None:
    if cost == "trainable_parameters":
        parameter_axis(axes, cells)
    elif cost == "peak_training_bytes":
        memory_axis(axes, cells)
    else:
        axes.set_xlabel("training time")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.set_ylabel(metric_label(cells, "test"))
