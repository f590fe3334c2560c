"""The figures show what the table says, twice the same, and say what they cannot show."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from analysis.collect import collect
from analysis.errors import AnalysisError
from analysis.figures.captions import FIGURES
from analysis.figures.curves import read_histories
from analysis.figures.drawing import house_style, looks, save
from analysis.figures.steps import BINS
from analysis.summary import summarise
from finegrid.records.plan import Plan
from finegrid.records.result import HISTORY_FILE, RESULT_FILE
from tests.analysis.benchmark import run_of
from tests.analysis.shown import drawn, words

NAMES = [kind.name for kind in FIGURES]
BEYOND = pytest.mark.thorough("test_files_are_the_same_when_drawn_twice")
_DRAWN: dict[tuple[str, int, Path], tuple[Figure, pd.DataFrame]] = {}


def figure_of(name: str, table: pd.DataFrame, runs: Path) -> Figure:
    """The figure of that name, to be looked at: of the same table it is drawn once."""
    key = (name, id(table), runs)
    if key not in _DRAWN:
        # The table is kept, as no other object then has its identity.
        _DRAWN[key] = drawn(name, table, runs), table
    return _DRAWN[key][0]


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(n, marks=BEYOND) for n in NAMES[1:])])
def test_files_are_the_same_when_drawn_twice(
    name: str, table: pd.DataFrame, finished: Path, tmp_path: Path
) -> None:
    for attempt in ("first", "second"):
        with house_style():
            save(drawn(name, table, finished), tmp_path / attempt / name)
    for ending in ("svg", "png"):
        files = [tmp_path / attempt / f"{name}.{ending}" for attempt in ("first", "second")]
        assert files[0].read_bytes() == files[1].read_bytes()
        assert b"<dc:date>" not in files[0].read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_names_the_interval_and_the_gaps(
    name: str, table: pd.DataFrame, finished: Path
) -> None:
    note = words(figure_of(name, table, finished))
    assert "95 % t interval" in note
    assert "oom 1 of 3, diverged 1 of 3, failed 1 of 3: letters · tiny (bulky)" in note
    assert "not applicable: letters · tiny (unfit)" in note


PANELS = ("score-by-parameters", "score-by-memory", "score-by-rank", "learning-curves")


@pytest.mark.parametrize("name", PANELS)
def test_a_cell_without_a_completed_run_stands_in_its_panel_with_its_sign(
    name: str, table: pd.DataFrame, finished: Path
) -> None:
    axes = figure_of(name, table, finished).axes[0]
    shown = " ".join(text.get_text() for text in axes.texts)
    assert "not applicable: unfit" in shown
    assert "oom 1 of 3, diverged 1 of 3, failed 1 of 3: bulky" in shown
    assert not {"everything", "small-2", "small-8", "top"} & set(re.findall(r"[\w-]+", shown))


STATES = ("oom", "diverged", "failed", "missing")


@pytest.mark.parametrize(
    ("name", "state"),
    [
        pytest.param(
            name,
            state,
            marks=()
            if PANELS.index(name) == STATES.index(state)
            else pytest.mark.thorough("test_the_sign_is_that_of_the_state"),
        )
        for name in PANELS
        for state in STATES
    ],
)
def test_the_sign_is_that_of_the_state(
    name: str, state: str, table: pd.DataFrame, finished: Path
) -> None:
    frame = table.copy()
    lost = (frame["variant"] == "top") & (frame["task"] == "letters")
    scores = ["test_score", "validation_score", "peak_training_bytes"]
    frame.loc[lost, "state"] = state
    frame.loc[lost, scores] = pd.NA
    figure = figure_of(name, frame, finished)
    assert f"{state} 3 of 3: top" in [text.get_text() for text in figure.axes[0].texts]
    assert "top" not in " ".join(text.get_text() for text in figure.axes[1].texts)
    assert f"{state} 3 of 3: letters · tiny (top)" in words(figure)


def test_signs_hide_no_point(table: pd.DataFrame, finished: Path) -> None:
    axes = figure_of("score-by-parameters", table, finished).axes[0]
    highest = max(text.get_position()[1] for text in axes.texts)
    lowest = min(np.asarray(line.get_ydata(), dtype=float).min() for line in axes.lines)
    assert axes.transLimits.transform((0, lowest))[1] > highest


def test_a_cell_with_some_completed_runs_says_how_many_it_lacks(plan: Plan, runs: Path) -> None:
    for seed in (0, 2):
        (runs / run_of("letters", "top", seed) / RESULT_FILE).unlink()
    figure = figure_of("score-by-parameters", collect(plan, runs), runs)
    assert "missing 2 of 3: letters · tiny (top)" in words(figure)
    assert "top" not in " ".join(text.get_text() for text in figure.axes[0].texts)


@pytest.mark.parametrize("name", NAMES)
def test_one_facet_a_task_and_model(name: str, table: pd.DataFrame, finished: Path) -> None:
    titles = [axes.get_title() for axes in figure_of(name, table, finished).axes]
    assert [title for title in titles if title] == ["letters · tiny", "words · tiny"]


def test_points_and_error_bars_of_the_scatter(table: pd.DataFrame, finished: Path) -> None:
    axes = figure_of("score-by-parameters", table, finished).axes[0]
    assert axes.get_xscale() == "log"
    points = {}
    for container in axes.containers:
        line, _, bars = container.lines  # type: ignore[attr-defined]  # an ErrorbarContainer
        segment = bars[0].get_segments()[0]
        x, y = np.asarray(line.get_data(), dtype=float)[:, 0]
        points[x] = (y, segment[:, 1])
    mean, bar = points[24_000]
    low, high = stats.t.interval(0.95, 2, loc=0.87, scale=0.01 / np.sqrt(3))
    assert mean == pytest.approx(0.87)
    assert list(bar) == pytest.approx([low, high])
    assert set(points) == {1_000_000, 6_000, 24_000, 1_500}


def test_stacks_are_the_categories(table: pd.DataFrame, finished: Path) -> None:
    axes = figure_of("memory-by-method", table, finished).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["everything", "small-2", "small-8", "top", "bulky", "unfit"]
    assert [text.get_text() for text in axes.texts] == [
        "oom 1 of 3, diverged 1 of 3, failed 1 of 3",
        "not applicable",
    ]
    widths = [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]  # bars
    of_small_8 = widths[labels.index("small-8") :: len(labels)]
    assert of_small_8 == [4_000_000, 96_000, 192_000, 3_000_000]


def test_rank_axis_has_the_ranks_and_lines_for_the_rest(
    table: pd.DataFrame, finished: Path
) -> None:
    figure = figure_of("score-by-rank", table, finished)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "8"]
    lines = [np.asarray(line.get_data(), dtype=float) for line in axes.lines]
    across = [y[0] for x, y in lines if list(x) == [0, 1]]
    assert across == pytest.approx([0.91, 0.71])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["everything", "small-2", "small-8", "top"]


def test_without_a_rank_the_figure_says_so(table: pd.DataFrame, finished: Path) -> None:
    figure = figure_of("score-by-rank", table.drop(columns="setting_rank"), finished)
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "no variant of this benchmark has a rank"
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "score-by-rank"])
def test_without_a_completed_run_the_figure_says_so(name: str, plan: Plan, tmp_path: Path) -> None:
    figure = figure_of(name, collect(plan, tmp_path), tmp_path)
    assert all(axes.texts[0].get_text().startswith("no ") for axes in figure.axes)
    assert "missing 3 of 3" in words(figure)


def test_looks_differ_in_colour_between_methods_and_in_marker_between_variants(
    table: pd.DataFrame,
) -> None:
    look = looks(summarise(table))
    assert look["small-2"].color == look["small-8"].color != look["top"].color
    assert len({item.marker for item in look.values()}) == len(look)


def test_histories_hold_losses_and_scores(table: pd.DataFrame, finished: Path) -> None:
    history = read_histories(table, finished)
    assert history["run"].nunique() == 24
    assert history["loss"].notna().sum() == 24 * 60
    scores = history.dropna(subset="score")
    assert set(scores["step"]) == {20, 40, 60}
    assert scores["score"].iloc[0] == pytest.approx(1 - 0.9**20)


def test_curves_are_means_over_seeds_in_stretches(table: pd.DataFrame, finished: Path) -> None:
    upper = figure_of("learning-curves", table, finished).axes[0]
    steps, loss = np.asarray(upper.lines[0].get_data(), dtype=float)
    assert len(steps) == 30 <= BINS
    # steps 1 and 2, seeds 0 to 2 with an offset of 0.05 a seed, odd steps 0.1 higher
    assert steps[0] == 1.5
    assert loss[0] == pytest.approx(2 * (0.97 + 0.97**2) / 2 + 0.05 + 0.05)


def test_runs_that_kept_no_step_records_are_completed_all_the_same(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    panels = figure_of("learning-curves", table, tmp_path).axes
    shown = [text.get_text() for axes in panels for text in axes.texts]
    assert len(shown) == len(panels)
    assert all(text.startswith("no step records of a completed run") for text in shown)


def test_a_broken_history_is_an_error_that_names_the_line(plan: Plan, runs: Path) -> None:
    path = runs / run_of("letters", "top", 0) / HISTORY_FILE
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2}\n')
    with pytest.raises(AnalysisError, match=f"{path}:2"):
        read_histories(collect(plan, runs), runs)


def test_two_fingerprints_are_two_facets(plan: Plan, table: pd.DataFrame, finished: Path) -> None:
    split = table.copy()
    last = (split["variant"] == "top") & (split["seed"] == 2) & (split["task"] == "letters")
    split.loc[last, ["fingerprint", "comparable_torch"]] = ["0badcafe", "8"]
    titles = [axes.get_title() for axes in figure_of("learning-curves", split, finished).axes]
    assert [title for title in titles if title] == [
        "letters · tiny\ntorch = 2.10",
        "letters · tiny\ntorch = 8",
        "words · tiny",
    ]


def test_a_variant_may_have_another_rank_on_another_task(
    table: pd.DataFrame, finished: Path
) -> None:
    frame = table.copy()
    elsewhere = (frame["variant"] == "small-2") & (frame["task"] == "words")
    frame.loc[elsewhere, "setting_rank"] = 64
    first, second = figure_of("score-by-rank", frame, finished).axes[:2]
    ticks = [[float(tick) for tick in axes.get_xticks()] for axes in (first, second)]
    assert ticks == [[2.0, 8.0], [8.0, 64.0]]
