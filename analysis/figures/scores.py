"""Figures of the test score: against parameters, against memory and against the rank."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from analysis.figures.drawing import (
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
from analysis.frame import SETTING, present
from analysis.summary import CELL

RANK = SETTING + "rank"
SCORE = "test_score"
Draw = Callable[[Axes, pd.DataFrame], None]


def by_parameters(inputs: Inputs) -> Figure:
    """Test score against trainable parameters, on a logarithmic axis."""
    return _scatter(inputs.summary, "trainable_parameters", parameter_axis)


def by_memory(inputs: Inputs) -> Figure:
    """Test score against peak training memory, both with their intervals."""
    return _scatter(inputs.summary, "peak_training_bytes", memory_axis)


def by_rank(inputs: Inputs) -> Figure:
    """Test score against the rank; variants without a rank are horizontal lines of reference."""
    ranks, look = _ranks(inputs.frame), looks(inputs.summary)
    if ranks.empty:
        figure, _ = facets(inputs.summary.head(0))
        empty(figure.axes[0], "no variant of this benchmark has a rank")
        return figure

    def draw(axes: Axes, done: pd.DataFrame) -> None:
        _rank_panel(axes, done.merge(ranks, on=CELL, how="left"), look)

    return _score_panels(inputs.summary, f"{SCORE}_mean", draw)


def _scatter(summary: pd.DataFrame, quantity: str, dress: Draw) -> Figure:
    """Test score against a quantity, which is a measure with its spread or a constant."""
    look = looks(summary)
    measured = f"{quantity}_mean" in summary
    name = f"{quantity}_mean" if measured else quantity

    def draw(axes: Axes, done: pd.DataFrame) -> None:
        spread = errors(done, quantity) if measured else None
        _points(axes, done, column(done, name), look, spread)
        dress(axes, done)

    return _score_panels(summary, name, draw)


def _score_panels(summary: pd.DataFrame, needed: str, draw: Draw) -> Figure:
    """A panel for each group: the cells with a score and what is needed, the signs of the rest."""
    figure, panels = facets(summary)
    for _, cells, (axes,) in panels:
        done = cells[(cells[f"{SCORE}_n"] > 0) & cells[needed].notna()]
        absent = signs(cells.drop(done.index))
        if done.empty:
            empty(axes, NOTHING, absent)
            continue
        draw(axes, done)
        axes.set_ylabel(metric_label(done, "test"))
        strip(axes, absent)
    legend(figure, summary, looks(summary))
    return figure


def _points(
    axes: Axes,
    cells: pd.DataFrame,
    x: NDArray[np.float64],
    look: dict[str, Look],
    spread: NDArray[np.float64] | None = None,
) -> None:
    """A marker with error bars for each cell, and a thin line through those of one method.

    Over costs it joins only those that compare.
    """
    y, error = column(cells, f"{SCORE}_mean"), errors(cells, SCORE)
    joined = cells["method"]
    if spread is not None:
        joined = joined + cells["cost_group"].fillna("").map(" [{}]".format)
    for method in dict.fromkeys(joined):
        members = np.flatnonzero(joined == method)
        members = members[np.argsort(x[members], kind="stable")]
        color = look[cells["variant"].iloc[members[0]]].color
        if len(set(x[members])) == len(members):
            axes.plot(x[members], y[members], color=color, linewidth=1, alpha=0.6, zorder=1)
    for index, variant in enumerate(cells["variant"]):
        axes.errorbar(
            x[index],
            y[index],
            yerr=error[:, [index]],
            xerr=None if spread is None else spread[:, [index]],
            fmt=look[variant].marker,
            color=look[variant].color,
            markersize=8,
            markeredgecolor="white",
            capsize=3,
            elinewidth=1.3,
            zorder=3,
        )


def _rank_panel(axes: Axes, cells: pd.DataFrame, look: dict[str, Look]) -> None:
    ranked, others = cells[cells["rank"].notna()], cells[cells["rank"].isna()]
    ticks = sorted(ranked["rank"].unique()) or [1.0]
    # variants without a rank stand apart, right of the largest one
    beside = ticks[-1] * 2.0 ** (0.8 + 0.45 * np.arange(len(others)))
    for height, variant in zip(others[f"{SCORE}_mean"], others["variant"], strict=True):
        shape = look[variant]
        axes.axhline(height, color=shape.color, linewidth=1, alpha=0.7)
    _points(axes, ranked, _side_by_side(ranked), look)
    _points(axes, others, beside, look)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    if len(others):
        axes.axvline(ticks[-1] * 2**0.4, color="0.6", linestyle=":", linewidth=1)
    axes.set_xlabel("rank  (right of the dotted line: no rank)" if len(others) else "rank")


def _side_by_side(cells: pd.DataFrame) -> NDArray[np.float64]:
    """The ranks, a little apart between methods, so that error bars do not hide each other."""
    method = pd.factorize(cells["method"])[0]
    shift: NDArray[np.float64] = 2.0 ** (0.1 * (method - method.max(initial=0) / 2))
    return column(cells, "rank") * shift


def _ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """The rank of each cell that has one: variants of one name may have other ranks elsewhere."""
    ranks = pd.to_numeric(present(frame, RANK), errors="coerce").dropna().astype(float)
    ranks = ranks[ranks > 0]
    return frame.loc[ranks.index, CELL].assign(rank=ranks).drop_duplicates(CELL)


def parameter_axis(axes: Axes, cells: pd.DataFrame) -> None:
    """Make the horizontal axis that of the trainable parameters of these cells."""
    axes.set_xlabel("trainable parameters")
    counts = column(cells, "trainable_parameters")
    # a method that trains nothing has no place on a logarithmic axis
    axes.set_xscale("log" if counts.min() > 0 else "symlog")
    if counts.min() > 0:
        wide = counts.max() > 300 * counts.min()
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter("")


def memory_axis(axes: Axes, cells: pd.DataFrame) -> None:
    """Make the horizontal axis that of the training memory."""
    axes.set_xlabel("peak training memory")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
