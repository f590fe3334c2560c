"""The figures of the claims: every effect with its bound, and gradient norms over training."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.claims.evidence import Evidence, layer_names
from analysis.claims.page import gradient_places
from analysis.claims.verdicts import CONTRADICTED, OPEN, SUPPORTED
from analysis.figures.drawing import (
    FACETS_A_ROW,
    NO_STEPS,
    NOTHING,
    empty,
    finish,
    house_style,
    save,
)
from analysis.figures.steps import BINS, middles, step_records
from finegrid.records.claims import Claim
from finegrid.records.result import HISTORY_FILE

COLORS = {SUPPORTED: "#0173b2", CONTRADICTED: "#d55e00", OPEN: "0.45"}
MARKERS = {SUPPORTED: "o", CONTRADICTED: "s", OPEN: "D"}


def write_claim_plots(
    rows: pd.DataFrame, claims: Sequence[Claim], evidence: Evidence, output: Path
) -> None:
    """Write `<benchmark>-claims` and `<benchmark>-gradients` as PNG and SVG, atomically."""
    name = evidence.plan.benchmark
    with house_style():
        save(forest(rows), output / f"{name}-claims")
    with house_style():
        save(gradients(claims, evidence), output / f"{name}-gradients")


def forest(rows: pd.DataFrame) -> Figure:
    """Every test's effect with its 95 % interval beside its bound, a panel a unit."""
    done = rows[rows["effect"].notna()]
    units = list(dict.fromkeys(done["unit"]))
    sizes = [int((done["unit"] == unit).sum()) for unit in units]
    figure = Figure(figsize=(13, 1.5 + 0.27 * sum(sizes) + 0.7 * len(units)))
    figure.set_layout_engine("constrained", h_pad=0.08)
    panels = figure.subplots(max(len(units), 1), 1, squeeze=False, height_ratios=sizes or [1])[:, 0]
    if not units:
        empty(panels[0], NOTHING)
    for axes, unit in zip(panels, units, strict=False):
        _panel(axes, done[done["unit"] == unit], unit)
    caption = (
        "Mean over seeds (of a ratio the geometric one) with its 95 % t interval. Bar across: the "
        "bound. Blue circle: supported; orange square: contradicted; grey diamond: not decided."
    )
    absent = [
        f"{row['claim']} ({row['variants'] if pd.notna(row['variants']) else row['claim_verdict']})"
        for _, row in rows[rows["effect"].isna()].iterrows()
    ]
    finish(figure, "Claims", caption, [f"no effect: {', '.join(absent)}"] if absent else [])
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, unit: str) -> None:
    heights = np.arange(len(rows))[::-1]
    for height, (_, row) in zip(heights, rows.iterrows(), strict=True):
        effect, color = float(row["effect"]), COLORS[row["verdict"]]
        if pd.notna(row["effect_low"]):
            axes.hlines(height, row["effect_low"], row["effect_high"], color=color, linewidth=1.6)
        axes.plot(effect, height, MARKERS[row["verdict"]], color=color, markersize=6)
        axes.vlines(float(row["bound"]), height - 0.35, height + 0.35, color="black", linewidth=1.6)
    labels = [
        f"{row['claim']}: {row['measure'].replace('_', ' ')}, "
        f"{row['variants'].replace(' ', ', ')} · {row['tasks'].replace(' ', ', ')}"
        for _, row in rows.iterrows()
    ]
    axes.set_yticks(heights, [f"{text[:97]}..." if len(text) > 100 else text for text in labels])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    if unit == "ratio":
        axes.set_xscale("log")
    axes.set_xlabel(unit)


def gradients(claims: Sequence[Claim], evidence: Evidence) -> Figure:
    """The gradient norm of each layer over the training steps, a panel each cell."""
    cells = [
        (task, model, variant)
        for (task, model), variants in gradient_places(claims).items()
        for variant in variants
    ]
    columns = min(max(len(cells), 1), FACETS_A_ROW)
    lines = -(-max(len(cells), 1) // columns)
    figure = Figure(figsize=(4.4 * columns, 2.8 * lines))
    figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.08)
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for axes in panels[len(cells) :]:
        axes.set_axis_off()
    if not cells:
        empty(panels[0], "no claim is about gradients")
    for axes, (task, model, variant) in zip(panels, cells, strict=False):
        rows = evidence.rows(model, [task], [variant])
        axes.set_title(f"{task} · {model}\n{variant}", fontsize="small")
        names = layer_names(evidence.recorded_gradients(rows))
        _curves(axes, norms(rows[rows["state"] == "ok"], evidence.runs), names)
    caption = (
        "Euclidean norm of the gradient of a layer's trained parameters, before clipping: the "
        f"geometric mean over the seeds and over at most {BINS} stretches of steps. Colours go "
        "from dark to light in the order of the model, from input to output."
    )
    finish(figure, "Gradient norms by layer", caption, [])
    return figure


def norms(rows: pd.DataFrame, runs: Path) -> pd.DataFrame:
    """The step records of the ok runs: layer, step, norm. A run without a history has no rows.

    Raises AnalysisError where a line is no such record.
    """
    files = [runs / str(run) / HISTORY_FILE for run in rows["run"]]
    found = [one for file in files for one in step_records(file, _layer_norms)]
    return pd.DataFrame(found, columns=["layer", "step", "norm"])


def _layer_norms(record: dict[str, Any]) -> Iterator[tuple[str, int, float]]:
    for layer, norm in record.get("layer_gradient_norms", {}).items():
        yield layer, int(record["step"]), float(norm)


def _curves(axes: Axes, history: pd.DataFrame, names: Sequence[str]) -> None:
    shown = history[history["norm"] > 0]
    if shown.empty:
        empty(axes, NO_STEPS)
        return
    found = set(shown["layer"])
    drawn = [name for name in names if name in found]
    colors = sns.color_palette("viridis", n_colors=len(drawn))
    binned = np.log(shown["norm"]).groupby([shown["layer"], middles(shown["step"])]).mean()
    for layer, color in zip(drawn, colors, strict=True):
        curve = binned.loc[layer]
        axes.plot(curve.index, np.exp(curve), color=color, linewidth=1.3, label=_short(layer))
    axes.set_yscale("log")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("gradient norm")
    axes.legend(
        fontsize="xx-small", handlelength=1, loc="upper left", bbox_to_anchor=(1, 1), borderpad=0
    )


def _short(layer: str) -> str:
    """The end of a layer's name, which tells it from the others."""
    return ".".join(layer.split(".")[-2:])
