"""Figures over several groups: mean ranks with their critical difference, and score profiles."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparisons.across import common, friedman, pooled_problem
from analysis.comparisons.contenders import LEVEL
from analysis.figures.drawing import (
    FACET_INCHES,
    MUTED,
    Inputs,
    Look,
    empty,
    legend,
    looks,
    score_label,
)
from analysis.notes import gaps
from analysis.statistics.across_tasks import Friedman, performance_profile
from analysis.statistics.arrays import Floats

LINE_INCHES = 0.28
"""The height of one label of the diagram."""
BAR = 0.45
"""The height of one bar, in labels."""


def critical_difference(inputs: Inputs) -> Figure:
    """Mean ranks on a line; a bar joins variants closer than Nemenyi's critical difference.

    Above the line stands the p-value of Friedman's test. Where that is not significant, one bar
    joins all: Nemenyi's test follows a Friedman's test that rejects, and none other. Drawn after
    Demsar 2006, Statistical comparisons of classifiers over multiple data sets, figure 1 and
    section 3.2.2, with the best rank at the left.
    """
    shared = common(inputs.frame)
    test = friedman(shared)
    figure, axes = _single(2.0 + LINE_INCHES * len(shared.variants))
    if isinstance(test, str):
        empty(axes, f"no critical difference: {test}")
        return figure
    _diagram(axes, shared.variants, test, looks(inputs.summary))
    return figure


def profile(inputs: Inputs) -> Figure:
    """The share of runs, over all groups and seeds, that score better than each threshold."""
    shared = common(inputs.frame)
    look = looks(inputs.summary)
    figure, axes = _single(FACET_INCHES[1])
    if why := pooled_problem(shared):
        empty(axes, f"no profile: {why}")
        return figure
    gains, sign = shared.gains, shared.signs[0]
    worst, best = gains.min(), gains.max()
    # a share falls at a score and nowhere else; before the worst all shares are 1
    thresholds = np.array([worst - 0.05 * (best - worst), *np.unique(gains)])
    for place, name in enumerate(shared.variants):
        shares = performance_profile(gains[:, :, place], thresholds)
        color, dashes = look[name].color, look[name].dashes
        axes.step(
            sign * thresholds, shares, where="post", color=color, linestyle=dashes, linewidth=1.3
        )
    axes.set_xlabel(score_label("test", shared.metrics))
    axes.set_ylabel(f"share of runs with a {'higher' if sign > 0 else 'lower'} score")
    shown = inputs.summary[inputs.summary["variant"].isin(shared.variants)]
    legend(figure, shown, look, lines=True)
    return figure


def unshared(inputs: Inputs) -> list[str]:
    """What these figures cannot show: variants and groups outside the common set, and gaps."""
    shared = common(inputs.frame)
    absent = [f"{name} lacks {text}" for name, text in shared.lacking.items()]
    return [*absent, *shared.left_out, *gaps(inputs.summary)]


def cliques(ranks: Floats, critical: float) -> list[tuple[int, int]]:
    """First and last place of the longest stretches of ranks less than `critical` apart.

    `ranks`: shape (variants,), ascending. A stretch inside a longer one is left out, and so is one
    of a single place.
    """
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + critical, side="left")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _single(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(2 * FACET_INCHES[0], height))
    figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.08)
    return figure, figure.subplots()


def _diagram(axes: Axes, variants: tuple[str, ...], test: Friedman, look: dict[str, Look]) -> None:
    order = np.argsort(test.mean_ranks, kind="stable")
    ranks = test.mean_ranks[order]
    told_apart = test.p_value <= LEVEL
    bars = cliques(ranks, test.critical_difference) if told_apart else [(0, len(ranks) - 1)]
    _scale(axes, len(ranks), test)
    for level, (first, last) in enumerate(bars):
        height = -BAR * (level + 1)
        ends = ranks[first] - 0.04, ranks[last] + 0.04
        axes.plot(ends, (height, height), color="black", linewidth=3.5, solid_capstyle="butt")
    top = -BAR * (len(bars) + 1)
    for place, variant in enumerate(order):
        _label(axes, place, ranks, top, variants[variant], look[variants[variant]])
    axes.set_ylim(top - (len(ranks) + 1) // 2, 2.4)


def _scale(axes: Axes, last: int, test: Friedman) -> None:
    """The line of ranks with its ticks; above it the critical difference and Friedman's test."""
    critical = test.critical_difference
    axes.set_axis_off()
    # room for the labels at both sides
    axes.set_xlim(1 - 0.35 * (last - 1), last + 0.35 * (last - 1))
    axes.plot((1, last), (0, 0), color="black", linewidth=1)
    for rank in range(1, last + 1):
        axes.plot((rank, rank), (0, 0.2), color="black", linewidth=1)
        axes.text(rank, 0.3, str(rank), ha="center", va="bottom")
    axes.errorbar(1 + critical / 2, 1.5, xerr=critical / 2, color=MUTED, capsize=4)
    axes.text(1, 1.7, f"critical difference {critical:.2f}; {_friedman_text(test)}", color=MUTED)


def _friedman_text(test: Friedman) -> str:
    p_value = "< 0.001" if test.p_value < 0.001 else f"= {test.p_value:.3f}"
    text = f"Friedman's test: p {p_value}"
    return text if test.p_value <= LEVEL else f"{text}, not significant: none is told from another"


def _label(axes: Axes, place: int, ranks: Floats, top: float, name: str, look: Look) -> None:
    """A variant's name beside the line, the better half at the left, joined to its rank."""
    n = len(ranks)
    left = place < (n + 1) // 2
    height = top - (place if left else n - 1 - place)
    side = 1 - 0.05 * (n - 1) if left else n + 0.05 * (n - 1)
    rank = ranks[place]
    axes.plot((rank, rank, side), (0, height, height), color=look.color, linewidth=1.2)
    text = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
    axes.text(side, height, f" {text} ", ha="right" if left else "left", va="center")
