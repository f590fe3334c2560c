"""Pairs of variants against scipy and hand-computed cases, and what is said where none is."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.collect import collect
from analysis.comparisons.pairs import pair_markdown, pair_rows
from analysis.comparisons.variance import variance_rows
from analysis.statistics.comparison import holm
from finegrid.records.plan import Plan
from finegrid.records.result import PREDICTIONS_FILE, RESULT_FILE
from tests.analysis.benchmark import VARIANTS, run_of

SAME = "every seed gives the same value, whose spread cannot be told"
# the scores of the three seeds where they are not 0.01 apart as those of the fixture are
OTHERS = {"small-8": [0.87, 0.85, 0.895], "top": [0.70, 0.74, 0.69]}


@pytest.fixture(scope="module")
def scattered(table: pd.DataFrame) -> pd.DataFrame:
    """The runs table with differences between variants that differ between seeds."""
    changed = table.copy()
    for variant, scores in OTHERS.items():
        rows = (changed["task"] == "letters") & (changed["variant"] == variant)
        changed.loc[rows, "test_score"] = scores
    return changed


def pair(rows: pd.DataFrame, first: str, second: str) -> pd.Series:
    found = rows[(rows["first"] == first) & (rows["second"] == second)]
    return found[found["task"] == "letters"].iloc[0]


def test_every_pair_has_a_row(pairs_table: pd.DataFrame) -> None:
    rows = pairs_table
    pairs = list(combinations(VARIANTS, 2))
    for task in ("letters", "words"):
        own = rows[rows["task"] == task]
        assert list(zip(own["first"], own["second"], strict=True)) == pairs
    lonely = rows[(rows["second"].isin(["bulky", "unfit"])) | (rows["first"] == "bulky")]
    assert set(lonely["n_seeds"]) == {0}
    assert set(lonely["reason"]) == {"no shared ok seed"}


def test_seeds_are_compared_by_a_paired_t_test(scattered: pd.DataFrame, tmp_path: Path) -> None:
    rows = pair_rows(scattered, tmp_path)
    row = pair(rows, "small-8", "top")
    expected = stats.ttest_rel(OTHERS["small-8"], OTHERS["top"])
    interval = expected.confidence_interval(0.95)
    assert row["seeds"] == "0 1 2"
    assert row["score_difference"] == pytest.approx((0.17 + 0.11 + 0.205) / 3)
    assert row["p_value"] == pytest.approx(expected.pvalue)
    bounds = [row["score_difference_low"], row["score_difference_high"]]
    assert bounds == pytest.approx([interval.low, interval.high])


def test_a_pair_as_far_apart_under_every_seed_is_not_tested(pairs_table: pd.DataFrame) -> None:
    row = pair(pairs_table, "everything", "small-2")
    assert row["score_difference"] == pytest.approx(0.10)
    tests = ["score_difference_low", "score_difference_high", "p_value", "p_value_holm"]
    assert row[tests].isna().all()
    assert row["reason"] == SAME


def test_holm_adjusts_within_a_group(scattered: pd.DataFrame, tmp_path: Path) -> None:
    own = pair_rows(scattered, tmp_path).query("task == 'letters'").dropna(subset="p_value")
    # all pairs of four but that of everything and small-2
    assert len(own) == 5
    raw = own["p_value"].astype(float).to_numpy()
    assert list(own["p_value_holm"]) == pytest.approx(list(holm(raw)))
    # by hand: the smallest is multiplied by the number of tests
    assert min(own["p_value_holm"]) == pytest.approx(min(1, 5 * raw.min()))


def test_items_are_compared_by_mcnemar_and_bootstrap(pairs_table: pd.DataFrame) -> None:
    row = pair(pairs_table, "everything", "small-8")
    assert (row["mcnemar_seed"], row["n_items"]) == (0, 200)
    # seed 0 has the first 180 and the first 172 of 200 right
    assert (row["mcnemar_first_only"], row["mcnemar_second_only"]) == (8, 0)
    assert row["mcnemar_p_value"] == pytest.approx(stats.binomtest(0, 8).pvalue)
    # under each seed 8 items of 200 differ: their number in a resample is binomial
    low, high = stats.binom.ppf([0.025, 0.975], 200, 8 / 200) / 200
    # they are others under each seed, so the seeds average and the interval is not wider
    assert low - 0.005 <= row["bootstrap_low"] < 0.04 < row["bootstrap_high"] <= high + 0.005
    assert row["probability_better"] == pytest.approx(1, abs=0.001)
    assert row["probability_flip"] == pytest.approx(0, abs=0.001)


def test_same_input_same_bytes_and_order_of_variants_matters_not(
    table: pd.DataFrame, finished: Path, pairs_table: pd.DataFrame
) -> None:
    rows = pairs_table
    assert pair_rows(table, finished).to_csv() == rows.to_csv()
    fewer = pair_rows(table[table["variant"] != "small-2"], finished)
    columns = ["bootstrap_low", "bootstrap_high", "probability_better"]
    ours, theirs = (pair(one, "everything", "small-8")[columns] for one in (rows, fewer))
    assert list(ours) == list(theirs)


def test_seeds_that_one_of_two_lacks_are_left_out(plan: Plan, runs: Path) -> None:
    (runs / run_of("letters", "everything", 0) / RESULT_FILE).unlink()
    (runs / run_of("letters", "top", 1) / RESULT_FILE).unlink()
    rows = pair_rows(collect(plan, runs), runs)
    one = pair(rows, "everything", "top")
    assert (one["seeds"], one["n_seeds"], one["mcnemar_seed"]) == ("2", 1, 2)
    assert pd.isna(one["p_value"])
    assert one["reason"] == "one shared seed: no interval, no test over seeds"
    assert pair(rows, "everything", "small-8")["seeds"] == "1 2"


def test_without_predictions_it_says_so(plan: Plan, runs: Path) -> None:
    run = run_of("letters", "top", 1)
    (runs / run / PREDICTIONS_FILE).unlink()
    table = collect(plan, runs)
    row = pair(pair_rows(table, runs), "everything", "top")
    assert (
        row["reason"] == f"{SAME}; no statistics over test items: {run} has no {PREDICTIONS_FILE}"
    )
    assert pd.isna(row["bootstrap_low"])


def test_the_text_names_the_gaps(table: pd.DataFrame, pairs_table: pd.DataFrame) -> None:
    text = pair_markdown(table, pairs_table)
    assert "**letters · tiny**" in text
    assert "| everything | small-2  |       3 |" in text
    assert "8 : 0, p 0.008" in text
    assert "letters · tiny: no shared ok seed: everything and bulky, everything and unfit" in text
    assert "oom 1 of 3, diverged 1 of 3, failed 1 of 3: letters · tiny (bulky)" in text


def test_no_pair_crosses_fingerprints(table: pd.DataFrame, finished: Path) -> None:
    split = table.copy()
    elsewhere = (split["task"] == "letters") & (split["seed"] == 2)
    split.loc[elsewhere, ["fingerprint", "comparable_torch"]] = ["0badcafe", "8"]
    rows = pair_rows(split, finished).query("task == 'letters' and n_seeds > 0")
    seeds = rows.groupby("fingerprint", sort=False)["seeds"].unique().map(list)
    assert sorted(seeds) == [["0 1"], ["2"]]
    text = pair_markdown(split, pair_rows(split, finished))
    assert "**letters · tiny: torch = 2.10**" in text
    assert "**letters · tiny: torch = 8**" in text
    assert "one shared seed: no interval" in text


@pytest.mark.parametrize("kept", [["everything"], ["bulky", "unfit"]])
def test_without_pairs_it_says_so(kept: list[str], table: pd.DataFrame, finished: Path) -> None:
    few = table[table["variant"].isin(kept)]
    rows = pair_rows(few, finished)
    assert (rows["n_seeds"] == 0).all()
    assert "mcnemar_p_value" in rows
    assert "no two variants ended ok under one seed" in pair_markdown(few, rows)


def test_variance_is_split_between_seeds_and_items(table: pd.DataFrame, finished: Path) -> None:
    rows = variance_rows(table, finished).query("task == 'letters'").set_index("variant")
    row = rows.loc["small-8"]
    # the first 172, 174 and 176 items of 200: the two-way analysis of variance by its sums
    right = (np.arange(200) < np.array([[172], [174], [176]])).astype(float)
    fitted = right.mean(1, keepdims=True) + right.mean(0) - right.mean()
    residual = ((right - fitted) ** 2).sum() / (2 * 199)
    of_items = 3 * right.mean(0).var(ddof=1)
    of_seeds = 200 * right.mean(1).var(ddof=1)
    assert row["item_error"] == pytest.approx(np.sqrt((of_items - residual) / 3 / 200))
    assert row["seed_error"] == pytest.approx(np.sqrt(max(0, of_seeds - residual) / 200 / 3))
    assert row["residual_error"] == pytest.approx(np.sqrt(residual / 600))
    assert rows.loc["bulky", "reason"] == "it takes two ok seeds, there are 0"
    assert list(rows.index) == list(VARIANTS)
