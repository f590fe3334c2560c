"""The figure of learning curves, from the step records of every run."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import (
    NO_STEPS,
    Inputs,
    Look,
    empty,
    facets,
    legend,
    looks,
    metric_label,
    signs,
    strip,
)
from analysis.figures.steps import middles, step_records
from analysis.frame import SELECTED
from analysis.statistics.intervals import t_half_width
from finegrid.records.result import HISTORY_FILE


def learning_curves(inputs: Inputs) -> Figure:
    """Training loss and, below, validation score over steps: mean and t interval over seeds."""
    history = read_histories(inputs.frame, inputs.runs)
    look = looks(inputs.summary)
    figure, panels = facets(inputs.summary, panels=2, height=5.2)
    for _, cells, (upper, lower) in panels:
        own = history[history["run"].isin(" ".join(cells["runs"]).split())]
        absent = signs(cells[~cells["variant"].isin(own["variant"])])
        _panel(upper, _binned(own.dropna(subset="loss")), "loss", look, absent)
        _panel(lower, own.dropna(subset="score"), "score", look, absent, marked=True)
        upper.set_ylabel("training loss")
        lower.set_ylabel(metric_label(_selecting(inputs.frame, own["run"]), "validation"))
        lower.set_xlabel("optimizer step")
    legend(figure, inputs.summary, look, lines=True)
    return figure


def _selecting(frame: pd.DataFrame, runs: pd.Series) -> pd.DataFrame:
    """The rows of the runs, their metric the one that decides on validation."""
    rows = frame[frame["run"].isin(runs)]
    return rows.assign(metric=rows[SELECTED].fillna(rows["metric"])) if SELECTED in rows else rows


def read_histories(frame: pd.DataFrame, runs: Path) -> pd.DataFrame:
    """The step records of the ok runs: task, model, variant, run, step, loss, score.

    `score` is the metric that decides on validation. A row has a loss or a score, the other is NaN.
    A run without a history has no rows. Raises AnalysisError where a line is no such record.
    """
    rows = [
        {
            "task": row["task"],
            "model": row["model"],
            "variant": row["variant"],
            "run": row["run"],
            **record,
        }
        for _, row in _selecting(frame, frame.loc[frame["state"] == "ok", "run"]).iterrows()
        for record in step_records(
            runs / row["run"] / HISTORY_FILE, partial(_losses_and_scores, row["metric"])
        )
    ]
    columns = ["task", "model", "variant", "run", "step", "loss", "score"]
    return pd.DataFrame(rows, columns=columns).astype(
        {"step": "int64", "loss": "float64", "score": "float64"}
    )


def _losses_and_scores(metric: str, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "validation" in record:
        yield {"step": record["step"], "score": record["validation"].get(metric)}
    else:
        yield {"step": record["step"], "loss": record["loss"]}


def _binned(history: pd.DataFrame) -> pd.DataFrame:
    """The mean loss of each run in each stretch of steps, at the middle of the stretch."""
    if history.empty:
        return history
    return (
        history.assign(step=middles(history["step"]))
        .groupby(["variant", "run", "step"], sort=False)[["loss"]]
        .mean()
        .reset_index()
    )


def _panel(
    axes: Axes,
    history: pd.DataFrame,
    value: str,
    look: dict[str, Look],
    absent: list[str],
    marked: bool = False,
) -> None:
    if history.empty:
        empty(axes, NO_STEPS, absent)
        return
    curves = history.groupby("variant", sort=False)
    faint = 0.15 if curves.ngroups <= 6 else 0.07
    for variant, rows in curves:
        shape = look[str(variant)]
        spread = rows.groupby("step")[value].agg(["mean", "std", "count"])
        half = t_half_width(spread["std"], spread["count"])
        axes.plot(
            spread.index,
            spread["mean"],
            color=shape.color,
            linestyle=shape.dashes,
            linewidth=1.6,
            marker=shape.marker if marked else None,
            markersize=5,
            markeredgecolor="white",
        )
        low, high = spread["mean"] - half, spread["mean"] + half
        axes.fill_between(spread.index, low, high, color=shape.color, alpha=faint, linewidth=0)
    _frame_lines(axes)
    strip(axes, absent)


def _frame_lines(axes: Axes) -> None:
    """Limit the vertical axis to the means: a band over two seeds would flatten all curves."""
    heights = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    low, high = np.nanmin(heights), np.nanmax(heights)
    margin = 0.25 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
