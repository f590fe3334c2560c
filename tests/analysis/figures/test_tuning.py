"""The tuning in tables, notes, figure and report: what was spent, what was chosen, what failed."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.budget import budget_notes
from analysis.collect import collect, ledger
from analysis.errors import AnalysisError
from analysis.evidence import write_evidence
from analysis.figures.captions import captions
from analysis.figures.drawing import house_style, save
from analysis.frame import TUNED_RATE, read_trials, write_table
from analysis.plots import write_plots
from analysis.quantities import rate_text
from analysis.report import Places, render
from analysis.tables import short_tables, write_tables
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE
from tests.analysis.benchmark import make_plan, prepare, rewrite
from tests.analysis.shown import drawn, main_table, words, written
from tests.analysis.tuned import TRIALS, TUNING, tuned_cell


def rates(table: pd.DataFrame) -> dict[str, str]:
    """The learning rates of the main table by variant, on the first task."""
    rows = [row for row in main_table(table) if row["task"] == "letters"][1:]
    return {row["variant"]: row["learning rate (trials)"] for row in rows}


def tuning(table: pd.DataFrame, trials: pd.DataFrame, runs: Path) -> Figure:
    return drawn("tuning", table, runs, trials)


def inside(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_the_ledger_has_every_trial_in_ascending_order(trials: pd.DataFrame) -> None:
    rows = trials[(trials["task"] == "letters") & (trials["variant"] == "small-2")]
    assert list(rows[TUNED_RATE]) == [1e-3, 3e-3, 1e-2, 3e-2]
    assert list(rows["score"].fillna(-1)) == [0.5, 0.6, 0.7, -1]
    assert list(rows["state"]) == ["ok", "ok", "ok", "diverged"]
    assert list(rows["chosen"]) == [False, False, True, False]
    assert list(rows["grown"]) == [False, False, False, True]
    assert set(rows["seed"]) == {100}
    assert len(trials) == 2 * sum(map(len, TRIALS.values()))


def test_the_trials_table_survives_its_file(trials: pd.DataFrame, tmp_path: Path) -> None:
    write_table(trials, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(read_trials(tmp_path / "t.csv"), trials)


def test_without_a_record_the_ledger_has_its_columns_and_no_row(
    tuned_plan: Plan, trials: pd.DataFrame, tmp_path: Path
) -> None:
    none = ledger(tuned_plan, tmp_path)
    assert none.empty
    assert list(none) == list(trials)
    write_table(none, tmp_path / "t.csv")
    assert list(read_trials(tmp_path / "t.csv")) == list(trials)


def test_a_file_that_is_no_trials_table_is_an_error(
    tuned_table: pd.DataFrame, tmp_path: Path
) -> None:
    write_table(tuned_table, tmp_path / "runs.csv")
    with pytest.raises(AnalysisError, match=r"not a trials table, it lacks .*score, n, chosen"):
        read_trials(tmp_path / "runs.csv")


def test_runs_of_a_cell_that_were_tuned_differently_are_an_error(
    tuned_plan: Plan, tuned_runs: Path, tmp_path: Path
) -> None:
    cell = tuned_plan.cells[0]
    for run in cell.runs:
        (tmp_path / run).mkdir()
        (tmp_path / run / RESULT_FILE).write_bytes((tuned_runs / run / RESULT_FILE).read_bytes())
    rewrite(tmp_path / run / RESULT_FILE, lambda record: record["tuning"].update(grown=1))
    with pytest.raises(AnalysisError, match="not that of the cell's other runs"):
        ledger(tuned_plan, tmp_path)


def test_the_main_table_shows_rate_trials_and_edge(
    tuned_table: pd.DataFrame, table: pd.DataFrame
) -> None:
    assert rates(tuned_table) == {
        "everything": "3e-3 (3 trials)",
        "small-2": "1e-2 (4 trials)",
        "small-8": "3e-2 (4 trials, upper edge)",
        "top": "3.33e-4 (4 trials, lower edge)",
        "bulky": "— (3 trials)",
        "unfit": "—",
    }
    assert rates(table) == dict.fromkeys(TRIALS, "1e-3 (given)") | {"unfit": "—"}


def test_the_terminal_gets_rate_and_an_arrow(tuned_table: pd.DataFrame) -> None:
    _, headers, rows = short_tables(tuned_table)[0]
    place = headers.index("lr")
    assert [row[place] for row in rows] == ["—", "3e-3", "1e-2", "3e-2 ↑", "3.33e-4 ↓", "—", "—"]


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.002, "2e-3"), (3.33e-4, "3.33e-4"), (0.1, "1e-1"), (20.0, "2e+1"), (None, "—")],
)
def test_a_learning_rate_keeps_its_digits(rate: float | None, text: str) -> None:
    assert rate_text(rate) == text


def test_notes_tell_seed_split_budgets_and_edges(tuned_table: pd.DataFrame, tmp_path: Path) -> None:
    notes = written(tuned_table, tmp_path)
    for part in (
        "A trial is a run on seed 100, which no run of this table has",
        "The lowest learning rate was chosen whose score is within one standard error of the best",
        "The test split is not read by any trial",
        "A trial trains as a run does, but for epochs = 1.",
        "Lower edge, upper edge: the best score is that of the lowest or the highest",
        "The budgets differ: 3 trials for letters · tiny (everything, bulky); words · tiny "
        "(everything, bulky); 4 trials (1 added beyond an edge of the grid) for every other "
        "tuned cell.",
        "No trial has a score, so that nothing was chosen, for letters · tiny (bulky); "
        "words · tiny (bulky).",
    ):
        assert part in notes


def test_equal_budgets_without_an_edge_are_said_in_a_sentence(tuned_table: pd.DataFrame) -> None:
    rows = tuned_table[tuned_table["variant"] == "everything"]
    notes = budget_notes(rows)
    assert notes[-1] == "Every tuned cell had 3 trials."
    assert not [note for note in notes if "edge" in note or "No trial" in note]


def test_shorter_trials_are_said_of_the_cells_that_have_them(tuned_table: pd.DataFrame) -> None:
    letters = tuned_table["task"] == "letters"
    rows = tuned_table.assign(tuning_training=tuned_table["tuning_training"].where(letters))
    found = [note for note in budget_notes(rows) if "trains as a run does" in note]
    assert found == ["A trial on letters · tiny trains as a run does, but for epochs = 1."]


def test_untuned_learning_rates_are_given(table: pd.DataFrame, tmp_path: Path) -> None:
    assert "Learning rate: given by the benchmark file" in written(table, tmp_path)
    assert "trial" not in " ".join(budget_notes(table))


def test_the_figure_has_the_scores_and_marks_what_was_chosen(
    tuned_table: pd.DataFrame, trials: pd.DataFrame, tuned_runs: Path
) -> None:
    axes = tuning(tuned_table, trials, tuned_runs).axes[0]
    assert axes.get_xscale() == "log"
    lines = [np.asarray(line.get_xydata(), dtype=float).tolist() for line in axes.lines]
    for variant in ("everything", "small-2", "small-8", "top"):
        scored = {rate: score for rate, score in TRIALS[variant].items() if score is not None}
        assert [[rate, score] for rate, score in scored.items()] in lines
    outlined = {
        str(line.get_marker()): np.asarray(line.get_xydata(), dtype=float).tolist()
        for line in axes.lines
        if line.get_markeredgecolor() == "black" and line.get_marker() in {"<", ">"}
    }
    assert outlined == {">": [[3e-2, 0.8]], "<": [[3.33e-4, 0.8]]}
    rings = [
        np.asarray(line.get_xydata(), dtype=float).tolist()
        for line in axes.lines
        if line.get_markeredgecolor() == "black" and line.get_marker() == "o"
    ]
    assert rings == [[[3e-3, 0.7]], [[1e-2, 0.7]]]


def test_trials_without_a_score_stand_at_the_lower_edge_with_their_sign(
    tuned_table: pd.DataFrame, trials: pd.DataFrame, tuned_runs: Path
) -> None:
    figure = tuning(tuned_table, trials, tuned_runs)
    axes = figure.axes[0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    places = sorted(float(np.asarray(line.get_xdata(), dtype=float)[0]) for line in hollow)
    assert places == [1e-3, 3e-3, 1e-2, 3e-2]
    assert sorted(inside(axes)) == ["diverged"] * 4 + ["not applicable: unfit"]
    lowest = min(score for row in TRIALS.values() for score in row.values() if score)
    top = axes.transLimits.transform((0, lowest))[1]
    assert all(float(np.asarray(line.get_ydata(), dtype=float)[0]) < top for line in hollow)
    note = words(figure)
    assert "diverged 1 of 4 trials: letters · tiny (small-2); words · tiny (small-2)" in note
    assert "diverged 3 of 3 trials: letters · tiny (bulky); words · tiny (bulky)" in note
    assert "not applicable: letters · tiny (unfit); words · tiny (unfit)" in note


def test_the_caption_names_seed_and_items(
    tuned_table: pd.DataFrame, trials: pd.DataFrame, tuned_runs: Path
) -> None:
    assert "validation split (100 items) of trials on seed 100" in words(
        tuning(tuned_table, trials, tuned_runs)
    )
    apart = trials.assign(n=trials["n"].where(trials["task"] == "letters", 80))
    assert "(letters 100, words 80 items)" in words(tuning(tuned_table, apart, tuned_runs))


def test_of_other_tuned_values_the_best_is_shown(
    tuned_table: pd.DataFrame, trials: pd.DataFrame, tuned_runs: Path
) -> None:
    worse = trials.assign(value_dropout=0.1, score=trials["score"] - 0.3, chosen=False)
    both = pd.concat([trials.assign(value_dropout=0.0), worse], ignore_index=True)
    figure = tuning(tuned_table, both, tuned_runs)
    alone = tuning(tuned_table, trials, tuned_runs)
    for one, other in zip(figure.axes[0].lines, alone.axes[0].lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
    assert "the best over the values of dropout" in words(figure)


def test_every_combination_is_in_the_ledger(tmp_path: Path) -> None:
    searched = TUNING.model_copy(
        update={"grid": TUNING.grid | {"settings.targets": (["a"], ["a", "b"])}}
    )
    cells = tuple(tuned_cell(cell, searched) for cell in make_plan(("small-2",)).cells)
    assert [len(cell.trials) for cell in cells] == [6, 6]
    names = list(ledger(Plan(benchmark="b", cells=cells), tmp_path))
    assert names[-2:] == ["value_learning_rate", "value_settings.targets"]


def test_the_figure_is_the_same_when_drawn_twice(
    tuned_table: pd.DataFrame, trials: pd.DataFrame, tuned_runs: Path, tmp_path: Path
) -> None:
    for attempt in ("first", "second"):
        with house_style():
            save(tuning(tuned_table, trials, tuned_runs), tmp_path / attempt / "tuning")
    for ending in ("svg", "png"):
        first, second = (tmp_path / a / f"tuning.{ending}" for a in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_without_a_trial_the_figure_says_so(tuned_plan: Plan, tmp_path: Path) -> None:
    figure = tuning(collect(tuned_plan, tmp_path), ledger(tuned_plan, tmp_path), tmp_path)
    for axes in figure.axes:
        (text,) = inside(axes)
        assert text.startswith("no trial with a record")
        assert "not applicable: unfit" in text
    assert "no trial with a record: letters · tiny (everything, small-2" in words(figure)


def test_only_a_tuned_benchmark_has_the_figure(
    tuned_table: pd.DataFrame, trials: pd.DataFrame
) -> None:
    assert "tuning" not in [one.name for one in captions(tuned_table, None)]
    assert captions(tuned_table, trials)[-1].name == "tuning"


@pytest.fixture(scope="module")
def html(
    tuned_plan: Plan,
    tuned_table: pd.DataFrame,
    trials: pd.DataFrame,
    tuned_runs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_tables(tuned_table, folder / "tables" / "demo")
    write_evidence(tuned_table, tuned_runs, folder / "tables" / "demo")
    write_plots(tuned_table, tuned_runs, folder / "plots", "demo", trials)
    prepare(tuned_plan, folder / "prepared")
    tables, plots = folder / "tables" / "demo", folder / "plots"
    places = Places(tables, plots, tuned_runs, folder / "prepared", folder / "demo.html")
    return render(tuned_plan, tuned_table, places, trials)


def test_the_report_has_budget_choice_and_edge_of_every_cell(html: str) -> None:
    section = html.split('id="tuning"')[1].split("<h2")[0]
    rows = [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(<td>.*?)</tr>", section, re.DOTALL)
    ]
    shown = {row[2]: row[3:7] for row in rows if row[0] == "letters"}
    assert shown == {
        "everything": ["3 trials", "0", "learning_rate 0.003", "no"],
        "small-2": ["4 trials", "1", "learning_rate 0.01", "no"],
        "small-8": ["4 trials", "1", "learning_rate 0.03", "upper"],
        "top": ["4 trials", "1", "learning_rate 0.000333", "lower"],
        "bulky": ["3 trials", "0", "—", "no"],
    }
    assert "learning_rate 0.03: diverged" in section
    assert "learning_rate 0.01: 0.700 (accuracy)" in section


def test_every_trial_is_linked(html: str, trials: pd.DataFrame) -> None:
    section = html.split('id="tuning"')[1].split("<h2")[0]
    links = re.findall(r'href="([^"]*)"', section)
    assert len(links) == len(trials)
    for run in trials["run"]:
        assert sum(f"/{run}/{RESULT_FILE}" in link for link in links) == 1
