"""What all figures share: style, looks of variants, facets, captions and deterministic files."""

import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from analysis.metric import metric_named
from analysis.summary import groups
from finegrid.records.write import atomic_path

MARKERS = "os^DvPX<>pdh"
DASHES: tuple[tuple[int, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
    (0, (8, 2)),
    (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)),
)
FACETS_A_ROW = 3
FACET_INCHES = (4.4, 3.5)
LEGEND_INCHES = 0.21
"""The height of one entry of the legend."""
FORMATS = ("png", "svg")
MUTED = "0.35"
NOTHING = "no completed run"
NO_STEPS = "no step records of a completed run"
NOT_MEASURED = "not measured"
STRIP_SHARE = 0.07
"""The part of a panel's height that one line at its lower edge takes."""
STRIP_CHARACTERS = 46


@dataclass(frozen=True)
class Inputs:
    """What a figure is drawn from."""

    frame: pd.DataFrame
    """The runs table."""
    summary: pd.DataFrame
    """One row a cell, of `summarise(frame)`."""
    runs: Path
    """The folder of all runs, for their histories."""
    trials: pd.DataFrame | None = None
    """The trials table of a tuned benchmark."""


@dataclass(frozen=True)
class Look:
    """How a variant looks in every figure: the colour of its method, a marker of its own."""

    color: tuple[float, float, float]
    marker: str
    dashes: tuple[int, tuple[float, ...]]


@contextmanager
def house_style() -> Iterator[None]:
    """Drawing and saving inside give the same bytes for the same data."""
    style = sns.axes_style("ticks") | sns.plotting_context("notebook", font_scale=0.85)
    own = {
        "svg.hashsalt": "finegrid",
        "font.family": "DejaVu Sans",
        "axes.grid": True,
        "grid.color": "0.92",
        "axes.axisbelow": True,
        "axes.edgecolor": "0.4",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "hatch.linewidth": 0.6,
        "figure.dpi": 100,
    }
    with mpl.rc_context(style | own):
        yield


def looks(summary: pd.DataFrame) -> dict[str, Look]:
    """A look for each variant, by its name; the same in every figure of a benchmark."""
    variants = summary.drop_duplicates("variant")
    methods = list(dict.fromkeys(variants["method"]))
    palette = sns.color_palette("colorblind", n_colors=max(len(methods), 1))
    rank_in_method = variants.groupby("method").cumcount()
    return {
        name: Look(
            color=palette[methods.index(method)],
            marker=MARKERS[position % len(MARKERS)],
            dashes=DASHES[within % len(DASHES)],
        )
        for position, (name, method, within) in enumerate(
            zip(variants["variant"], variants["method"], rank_in_method, strict=True)
        )
    }


def facets(
    summary: pd.DataFrame, panels: int = 1, height: float = FACET_INCHES[1]
) -> tuple[Figure, list[tuple[str, pd.DataFrame, list[Axes]]]]:
    """A figure with `panels` axes, one above the other, for each task, model and fingerprint.

    Each comes with its title, its rows of the summary and its axes; `height` is in inches.
    """
    cut = groups(summary)
    columns = 2 if len(cut) == 4 else min(max(len(cut), 1), FACETS_A_ROW)
    rows = -(-max(len(cut), 1) // columns)
    tall = max(height * rows, LEGEND_INCHES * (summary["variant"].nunique() + 1))
    figure = Figure(figsize=(FACET_INCHES[0] * columns + 1.8, tall))
    figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.08)
    grid = figure.subplots(rows * panels, columns, squeeze=False)
    found = []
    for index, (title, cells) in enumerate(cut):
        top, place = index // columns * panels, index % columns
        axes = [grid[top + panel, place] for panel in range(panels)]
        axes[0].set_title(title, fontsize="medium")
        found.append((title, cells, axes))
    for spare in range(len(cut), rows * columns):
        for panel in range(panels):
            grid[spare // columns * panels + panel, spare % columns].set_axis_off()
    return figure, found


def errors(rows: pd.DataFrame, measure: str) -> NDArray[np.float64]:
    """The error bars of a measure, shape (2, rows): below and above; NaN where there is none."""
    mean, low, high = (column(rows, f"{measure}_{name}") for name in ("mean", "low", "high"))
    return np.stack([mean - low, high - mean])


def column(rows: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A column as floats, NaN where a value is missing."""
    values: NDArray[np.float64] = pd.to_numeric(rows[name]).to_numpy(dtype=float, na_value=np.nan)
    return values


def legend(
    figure: Figure, summary: pd.DataFrame, look: dict[str, Look], lines: bool = False
) -> None:
    """One legend for all facets, to their right: the variants with a score."""
    shown = dict.fromkeys(summary.loc[summary["test_score_n"] > 0, "variant"])
    handles = variant_handles(shown, look, lines)
    if handles:
        figure.legend(handles=handles, loc="outside right upper", handlelength=3 if lines else 1)


def variant_handles(names: Iterable[str], look: dict[str, Look], lines: bool) -> list[Line2D]:
    """What stands for these variants in a legend."""
    return [
        Line2D(
            [],
            [],
            color=look[name].color,
            marker=look[name].marker,
            linestyle=look[name].dashes if lines else "none",
            markeredgecolor="white",
            markersize=8,
            linewidth=1.3,
            label=name,
        )
        for name in names
    ]


def metric_label(cells: pd.DataFrame, split: str) -> str:
    """The metric of a facet with its split, for the label of an axis."""
    return score_label(split, [str(name) for name in cells["metric"].dropna().unique()])


def score_label(split: str, metrics: Sequence[str]) -> str:
    """The label of an axis of scores on a split, and that less is better where it is."""
    label = f"{split} {' or '.join(metrics) or 'score'}".replace("_", " ")
    falls = bool(metrics) and all(metric_named(name).sign < 0 for name in metrics)
    return f"{label} (less is better)" if falls else label


def empty(axes: Axes, text: str, absent: Iterable[str] = ()) -> None:
    """Say in a panel why it shows nothing, and the signs of what is absent."""
    axes.set_axis_off()
    whole = "\n".join([text, *absent])
    axes.text(0.5, 0.5, whole, ha="center", va="center", color=MUTED, transform=axes.transAxes)


def signs(absent: pd.DataFrame) -> list[str]:
    """One line or more a sign: the cells of a panel that it cannot show, and why."""
    return sign_lines(absent, absent["state"].where(absent["runs_ok"] == 0, NOT_MEASURED))


def sign_lines(cells: pd.DataFrame, sign: pd.Series) -> list[str]:
    """The same of cells with a given sign each."""
    return [
        line
        for text, rows in cells.groupby(sign, sort=False)
        for line in textwrap.wrap(f"{text}: {', '.join(rows['variant'])}", STRIP_CHARACTERS)
    ]


def strip(axes: Axes, lines: list[str], rows: int = 0) -> NDArray[np.float64]:
    """Write lines at the lower edge of a panel, below all that it shows.

    Makes room for `rows` more above them, and returns the heights of these, as parts of the
    panel's height.
    """
    whole = len(lines) + rows
    low, high = axes.get_ylim()
    share = min(whole * STRIP_SHARE, 0.8)
    axes.set_ylim(low - (high - low) * share / (1 - share), high)
    heights: NDArray[np.float64] = share * (np.arange(whole) + 0.5) / max(whole, 1)
    small: dict[str, Any] = {"va": "center", "color": MUTED, "fontsize": "x-small"}
    for height, line in zip(heights[: len(lines)][::-1], lines, strict=True):
        axes.text(0.02, height, line, transform=axes.transAxes, **small)
    return heights[len(lines) :]


def finish(figure: Figure, title: str, caption: str, unshown: list[str]) -> None:
    """Put the title above and, below, the caption and the lines of what it does not show."""
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    width = int(figure.get_figwidth() * 14)
    lines = [
        line
        for text in [caption, *unshown]
        for line in textwrap.wrap(text, width, subsequent_indent="   ")
    ]
    # outside of the canvas: saving tightly makes room for it
    figure.text(
        0.01, -0.02, "\n".join(lines), va="top", color=MUTED, fontsize="small", linespacing=1.4
    )


def save(figure: Figure, stem: Path) -> None:
    """Write `<stem>.png` and `<stem>.svg` atomically, without a date."""
    for kind in FORMATS:
        buffer = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(
            buffer, format=kind, dpi=150, bbox_inches="tight", pad_inches=0.15, metadata=metadata
        )
        with atomic_path(stem.with_name(f"{stem.name}.{kind}")) as temporary:
            temporary.write_bytes(buffer.getvalue())
