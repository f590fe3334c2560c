"""The marks against the best, and the standard errors of the main table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.collect import collect
from analysis.comparisons.contenders import BEST, NOT_SIGNIFICANT, WORSE, contenders, standings
from analysis.summary import summarise
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE
from tests.analysis.benchmark import run_of
from tests.analysis.shown import written

SCORES = {
    "everything": [0.90, 0.91, 0.92],
    "small-2": [0.89, 0.92, 0.90],
    "small-8": [0.80, 0.82, 0.815],
    "top": [0.70, 0.74, 0.69],
}


@pytest.fixture
def letters(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["task"] == "letters"].copy()
    for variant, scores in SCORES.items():
        rows.loc[rows["variant"] == variant, "test_score"] = scores
    return rows


def test_marks_follow_the_paired_t_test_adjusted_by_holm(letters: pd.DataFrame) -> None:
    best = SCORES["everything"]
    others = ("small-2", "small-8", "top")
    raw = [stats.ttest_rel(SCORES[name], best).pvalue for name in others]
    assert raw[0] > raw[2] > raw[1]
    found = standings(letters)
    # Holm by hand: three times the smallest, twice the next, once the last
    assert found["small-8"].p_value == pytest.approx(3 * raw[1])
    assert found["top"].p_value == pytest.approx(2 * raw[2])
    assert found["small-2"].p_value == pytest.approx(raw[0])
    assert found["everything"].p_value == 1
    marks = {name: one.mark for name, one in found.items()}
    assert marks == {"everything": BEST, "small-2": NOT_SIGNIFICANT, "small-8": WORSE, "top": WORSE}


def test_a_variant_as_far_from_the_best_under_every_seed_has_no_p_value(
    letters: pd.DataFrame, tmp_path: Path
) -> None:
    rows = letters["variant"] == "small-8"
    letters.loc[rows, "test_score"] = [score - 0.1 for score in SCORES["everything"]]
    found = standings(letters)
    assert (found["small-8"].mark, found["small-8"].p_value) == (NOT_SIGNIFICANT, None)
    assert found["top"].mark == WORSE
    note = "letters · tiny: small-8 is n.s. as every seed gives the same difference"
    assert note in written(letters, tmp_path)
    rows = letters["variant"] != "small-8"
    assert "the same difference" not in written(letters[rows], tmp_path)


def test_a_variant_that_lacks_a_seed_is_not_compared(plan: Plan, runs: Path) -> None:
    (runs / run_of("letters", "everything", 1) / RESULT_FILE).unlink()
    table = collect(plan, runs)
    rows = table[table["task"] == "letters"]
    field = contenders(rows)
    assert field.variants == ("small-2", "small-8", "top")
    assert field.seeds == (0, 1, 2)
    assert field.scores[:, 2] == pytest.approx([0.70, 0.71, 0.72])
    assert field.lacking == {
        "everything": "no ok run of seed 1",
        "bulky": "no ok run",
        "unfit": "no ok run",
    }
    summary = summarise(table).query("task == 'letters'").set_index("variant")
    assert summary.loc["small-8", "standing"] == BEST
    assert summary["standing"].isna()["everything"]


def test_one_seed_or_one_variant_has_no_marks(letters: pd.DataFrame) -> None:
    assert standings(letters[letters["seed"] == 0]) == {}
    assert standings(letters[letters["variant"] == "top"]) == {}
    assert standings(letters[letters["variant"] == "bulky"]) == {}
    assert summarise(letters[letters["seed"] == 0])["standing"].isna().all()


def test_seeds_and_items_have_their_own_standard_error(letters: pd.DataFrame) -> None:
    row = summarise(letters).set_index("variant").loc["top"]
    assert row["test_score_seed_error"] == pytest.approx(stats.sem(SCORES["top"]))
    assert row["test_score_item_error"] == pytest.approx(np.sqrt(0.71 * 0.29 / 200))
    regression = summarise(letters.assign(metric="r2")).set_index("variant").loc["top"]
    assert regression.isna()["test_score_item_error"]
    recorded = summarise(letters.assign(metric="r2", test_item_error=letters["seed"] * 0.1))
    errors = recorded.set_index("variant")["test_score_item_error"]
    assert errors["top"] == pytest.approx(np.sqrt((0 + 0.1**2 + 0.2**2) / 3))
    assert regression["test_score_seed_error"] == row["test_score_seed_error"]


def test_the_table_explains_its_marks(letters: pd.DataFrame, tmp_path: Path) -> None:
    text = written(letters, tmp_path)
    for part in ("0.0153, 0.0321", "| n.s. ", "| worse ", "is no equality"):
        assert part in text
