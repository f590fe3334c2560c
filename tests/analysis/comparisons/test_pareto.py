"""The fronts by hand, their probabilities, and their figure."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.collect import collect
from analysis.comparisons.pareto import COSTS, pareto_rows
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE
from tests.analysis.benchmark import VARIANTS, run_of
from tests.analysis.shown import drawn


def front(rows: pd.DataFrame, cost: str) -> pd.DataFrame:
    own = rows[(rows["task"] == "letters") & (rows["cost"] == cost)]
    return own.set_index("variant")


@pytest.fixture(scope="module")
def rows(table: pd.DataFrame, finished: Path) -> pd.DataFrame:
    return pareto_rows(table, finished)


def test_each_cell_has_a_row_a_cost(
    table: pd.DataFrame, finished: Path, rows: pd.DataFrame
) -> None:
    assert len(rows) == 2 * len(COSTS) * len(VARIANTS)
    own = front(rows, "peak_training_bytes")
    assert own.loc["small-2", "cost_mean"] == pytest.approx(7_082_000)
    assert own.loc["small-2", "test_score_mean"] == pytest.approx(0.81)
    assert own.loc["bulky", "reason"] == "no ok run with peak_training_bytes"
    assert own["on_front"].isna()["bulky"]
    assert pareto_rows(table, finished).to_csv() == rows.to_csv()


def test_the_front_by_hand(rows: pd.DataFrame) -> None:
    # more parameters buy a higher score here, so that all four lie on the front
    assert front(rows, "trainable_parameters")["on_front"].dropna().all()
    # all take the same time, so that the best score alone does
    by_time = front(rows, "train_seconds")["on_front"].dropna()
    assert list(by_time[by_time.astype(bool)].index) == ["everything"]


def test_the_probability_counts_resamples(table: pd.DataFrame, tmp_path: Path) -> None:
    two = table[table["variant"].isin(["everything", "small-2"]) & (table["task"] == "letters")]
    two = two[two["seed"] < 2].copy()
    scores = {"everything": [0.9, 0.9], "small-2": [0.8, 1.0]}
    # without predictions the seeds alone are drawn
    for variant, values in scores.items():
        two.loc[two["variant"] == variant, "test_score"] = values
    own = front(pareto_rows(two, tmp_path), "trainable_parameters")
    # the dearer one is beaten where both draws are the 1.0, and where the mean is 0.9: 3 of 4
    assert own.loc["everything", "front_probability"] == pytest.approx(0.25, abs=0.02)
    assert own.loc["small-2", "front_probability"] == 1
    assert own.loc["everything", "on_front"] == np.False_


def test_a_seed_is_drawn_for_all_cells_and_so_is_an_item(
    table: pd.DataFrame, finished: Path
) -> None:
    """`everything` has all the items right that `small-8` has, and more, under every seed."""
    own = front(pareto_rows(table, finished), "train_seconds")
    assert own["front_probability"].fillna(0).to_dict() == pytest.approx(
        dict.fromkeys(own.index, 0) | {"everything": 1}, abs=0.01
    )


def test_cells_of_one_seed_stand_apart(plan: Plan, runs: Path) -> None:
    for seed in (1, 2):
        (runs / run_of("letters", "everything", seed) / RESULT_FILE).unlink()
    own = front(pareto_rows(collect(plan, runs), runs), "trainable_parameters")
    assert own.loc["everything", "reason"] == "one seed: beside the front of the others"
    assert own["on_front"].isna()["everything"]
    assert own.loc["small-8", "front_probability"] == 1


def test_one_seed_has_a_front_without_a_probability(table: pd.DataFrame, finished: Path) -> None:
    one = table[table["seed"] == 0]
    own = front(pareto_rows(one, finished), "trainable_parameters")
    assert own.loc["small-2", "on_front"]
    assert own["front_probability"].isna().all()
    assert own.loc["small-2", "reason"] == "one seed: no probability"
    figure = drawn("pareto", one, finished)
    assert len(figure.axes) == 2 * len(COSTS)


def test_the_figure_joins_the_front(table: pd.DataFrame, finished: Path) -> None:
    axes = drawn("pareto", table, finished).axes[0]
    x, y = np.asarray(axes.lines[0].get_data(), dtype=float)
    assert list(x) == [1_500, 6_000, 24_000, 1_000_000]
    assert y == pytest.approx([0.71, 0.81, 0.87, 0.91])
