"""The figure of where training memory goes."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from analysis.figures.drawing import (
    MUTED,
    NOT_MEASURED,
    Inputs,
    column,
    empty,
    errors,
    facets,
    signs,
)
from analysis.summary import CATEGORIES, groups

HATCHES = ("", "////", "", "....")
BAR_INCHES = 0.26
PEAK = "peak_training_bytes"


def by_method(inputs: Inputs) -> Figure:
    """Stacked bars of the categories of training memory, one bar a variant, with the peak.

    Each category is at its largest. In the backward pass gradients take the place of activations:
    the peak is below the end of a bar where they are not all there at once.
    """
    most = max((len(rows) for _, rows in groups(inputs.summary)), default=0)
    figure, panels = facets(inputs.summary, height=1.2 + BAR_INCHES * max(most, 4))
    shown = False
    for _, cells, (axes,) in panels:
        done = cells[cells[f"{PEAK}_n"] > 0]
        if done.empty:
            empty(axes, "no memory was measured", signs(cells))
            continue
        _stack(axes, cells)
        _signs(axes, cells)
        shown = True
    if shown:
        _legend(figure)
    return figure


def _stack(axes: Axes, cells: pd.DataFrame) -> None:
    rows = np.arange(len(cells))
    left = np.zeros(len(cells))
    for name, color, hatch in zip(CATEGORIES, _colors(), HATCHES, strict=True):
        width = column(cells, f"{name}_mean")
        axes.barh(
            rows, width, left=left, color=color, hatch=hatch, edgecolor="white", linewidth=0.6
        )
        left += width
    axes.errorbar(
        column(cells, f"{PEAK}_mean"),
        rows,
        xerr=errors(cells, PEAK),
        fmt="|",
        color="black",
        markersize=9,
        markeredgewidth=1.6,
        capsize=2,
        elinewidth=1.2,
    )
    marks = cells["cost_group"].map(" [{}]".format, na_action="ignore").fillna("")
    axes.set_yticks(rows, list(cells["variant"] + marks))
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
    axes.set_xlabel("memory while training, each part at its largest")


def _signs(axes: Axes, cells: pd.DataFrame) -> None:
    """Say in the place of a bar why there is none."""
    for place, (_, cell) in enumerate(cells.iterrows()):
        if not cell[f"{PEAK}_n"]:
            sign = NOT_MEASURED if cell["runs_ok"] else cell["state"]
            axes.annotate(
                sign,
                (0, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=MUTED,
                fontsize="x-small",
            )


def _legend(figure: Figure) -> None:
    patches = [
        Patch(facecolor=color, hatch=hatch, edgecolor="white", label=name.removesuffix("_bytes"))
        for name, color, hatch in zip(CATEGORIES, _colors(), HATCHES, strict=True)
    ]
    peak = Line2D([], [], color="black", marker="|", markersize=9, linestyle="none", label="peak")
    figure.legend(handles=[*patches, peak], loc="outside right upper")


def _colors() -> list[tuple[float, float, float]]:
    return list(sns.color_palette("colorblind", n_colors=len(CATEGORIES)))
