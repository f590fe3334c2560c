"""A metric of which less is better turns every comparison around and changes nothing else.

In the synthetic benchmark a wrong prediction is off by one: the mean squared error is 1 - accuracy.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.comparisons.across import across_markdown, across_rows, common, friedman
from analysis.comparisons.contenders import standings
from analysis.comparisons.pairs import pair_markdown, pair_rows
from analysis.comparisons.pareto import pareto_rows
from analysis.comparisons.variance import NO_PSEUDO_VALUES, variance_rows
from analysis.errors import AnalysisError
from analysis.frame import TUNED_RATE
from analysis.metric import metric_of
from analysis.statistics.across_tasks import Friedman
from analysis.summary import summarise
from finegrid.records.result import PREDICTIONS_FILE
from tests.analysis.claims.evidence import BASE, build_evidence, decide, only, pair, scored
from tests.analysis.shown import drawn, main_table, written

NOTE = "Of mse less is better: the best mean is the lowest one."


@pytest.fixture(scope="module")
def falling(table: pd.DataFrame) -> pd.DataFrame:
    """The runs table with the mean squared error as the primary metric."""
    error = {name: 1 - table[name] for name in ("test_score", "validation_score", "trivial_score")}
    metric = table["metric"].where(table["metric"].isna(), "mse")
    return table.assign(metric=metric, **error)


def letters(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["task"] == "letters"]


def numbers(rows: pd.DataFrame, *names: str) -> np.ndarray:
    values: np.ndarray = rows[list(names)].to_numpy(dtype=float, na_value=np.nan)
    return values


def equal(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_pairs(table: pd.DataFrame, falling: pd.DataFrame, finished: Path) -> None:
    rows, turned = (pair_rows(letters(frame), finished) for frame in (table, falling))
    same = ("n_items", "p_value", "p_value_holm", "probability_better", "probability_flip")
    equal(numbers(turned, *same), numbers(rows, *same))
    assert turned["probability_better"].max() == 1
    equal(numbers(turned, "score_difference"), -numbers(rows, "score_difference"))
    bounds = numbers(rows, "bootstrap_high", "bootstrap_low")
    equal(numbers(turned, "bootstrap_low", "bootstrap_high"), -bounds)
    assert turned["mcnemar_seed"].isna().all()
    assert NOTE in pair_markdown(falling, turned)
    assert "less is better" not in pair_markdown(table, rows)


def test_variance(table: pd.DataFrame, falling: pd.DataFrame, finished: Path) -> None:
    rows, turned = (variance_rows(letters(frame), finished) for frame in (table, falling))
    errors = ("seed_error", "item_error", "residual_error", "total_error", "n_items")
    equal(numbers(turned, *errors), numbers(rows, *errors))
    equal(numbers(turned, "test_score"), 1 - numbers(rows, "test_score"))


def test_fronts(table: pd.DataFrame, falling: pd.DataFrame, finished: Path, tmp_path: Path) -> None:
    for runs in (finished, tmp_path):  # with predictions, and by the scores alone
        rows, turned = (pareto_rows(letters(frame), runs) for frame in (table, falling))
        assert list(turned["on_front"]) == list(rows["on_front"])
        equal(numbers(turned, "front_probability"), numbers(rows, "front_probability"))
    axes = drawn("pareto", letters(falling), finished).axes[0]
    assert axes.get_ylabel() == "test mse (less is better)"
    _, y = np.asarray(axes.lines[0].get_data(), dtype=float)
    assert y == pytest.approx([0.29, 0.19, 0.13, 0.09])


def test_the_best_and_the_others(
    table: pd.DataFrame, falling: pd.DataFrame, tmp_path: Path
) -> None:
    plain, turned = (letters(frame) for frame in (table, falling))
    assert standings(turned) == standings(plain)
    assert standings(turned)["everything"].mark == "best"
    assert NOTE in written(falling, tmp_path)
    assert {row["metric (test items)"] for row in main_table(falling)[:2]} == {
        "mse, less is better (200)"
    }
    assert summarise(falling)["test_score_item_error"].isna().all()


def test_over_several_tasks(table: pd.DataFrame, falling: pd.DataFrame, finished: Path) -> None:
    rows, turned = (across_rows(common(frame)) for frame in (table, falling))
    same = ("mean_rank", "improvement", "improvement_low", "improvement_high")
    equal(numbers(turned, *same), numbers(rows, *same))
    bounds = ("iqm", "iqm_high", "iqm_low")
    equal(numbers(turned, "iqm", "iqm_low", "iqm_high"), 1 - numbers(rows, *bounds))
    assert NOTE in across_markdown(falling, common(falling), turned)
    tests = [friedman(common(frame)) for frame in (table, falling)]
    assert all(isinstance(one, Friedman) for one in tests)
    assert len({one.p_value for one in tests if isinstance(one, Friedman)}) == 1


def test_tasks_whose_metrics_point_apart_are_ranked_together(
    table: pd.DataFrame, falling: pd.DataFrame
) -> None:
    mixed = pd.concat([letters(table), falling[falling["task"] == "words"]])
    rows, turned = (across_rows(common(frame)) for frame in (table, mixed))
    equal(numbers(turned, "mean_rank", "improvement"), numbers(rows, "mean_rank", "improvement"))
    assert turned["iqm"].isna().all()


def test_the_profile_counts_the_runs_that_are_better(
    table: pd.DataFrame, falling: pd.DataFrame, finished: Path
) -> None:
    plain, turned = (
        drawn("performance-profile", frame, finished).axes[0] for frame in (table, falling)
    )
    assert turned.get_ylabel() == "share of runs with a lower score"
    assert turned.get_xlabel() == "test mse (less is better)"
    for one, other in zip(plain.lines, turned.lines, strict=True):
        equal(np.asarray(other.get_ydata()), np.asarray(one.get_ydata()))
        equal(np.asarray(other.get_xdata()), 1 - np.asarray(one.get_xdata()))


def test_the_figure_of_the_trials_takes_the_lowest(
    tuned_table: pd.DataFrame, trials: pd.DataFrame, tuned_runs: Path
) -> None:
    """Of two trials with one learning rate the better one is drawn."""
    twin = trials.assign(score=trials["score"] + 0.05)
    both = pd.concat([trials, twin], ignore_index=True)
    for name, best in (("accuracy", twin), ("mse", trials)):
        metric = both["metric"].where(both["metric"].isna(), name)
        figure = drawn("tuning", tuned_table, tuned_runs, both.assign(metric=metric))
        shown = [np.asarray(line.get_ydata(), dtype=float) for line in figure.axes[0].lines]
        own = best[best["task"] == "letters"].dropna(subset="score").sort_values(TUNED_RATE)
        curves = [rows["score"].to_numpy(dtype=float) for _, rows in own.groupby("variant")]
        assert len(curves) > 1
        for curve in curves:
            assert any(len(y) == len(curve) and np.allclose(y, curve) for y in shown)


def test_a_metric_that_is_not_registered_is_an_error(table: pd.DataFrame) -> None:
    with pytest.raises(AnalysisError, match="unknown metric 'mes': did you mean 'mse'"):
        metric_of(table.assign(metric="mes"))


def test_one_group_has_one_metric(table: pd.DataFrame, falling: pd.DataFrame) -> None:
    with pytest.raises(AnalysisError, match="several metrics: accuracy, mse"):
        metric_of(pd.concat([table, falling]))


def test_a_score_without_a_value_in_some_resamples_has_no_bootstrap_and_says_so(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    """Of three items one is drawn three times in one of nine resamples: no correlation."""
    few = table[table["variant"].isin(["everything", "top"]) & (table["task"] == "letters")].copy()
    label = np.array([0.0, 1.0, 3.0])
    for run, seed, variant in few[["run", "seed", "variant"]].to_numpy(dtype=object).tolist():
        found = label + np.array([0.0, float(seed), 0.5 * (variant == "top")])
        few.loc[few["run"] == run, "test_score"] = np.corrcoef(label, found)[0, 1]
        items = {"split": "test", "id": list("abc"), "label": label, "prediction": found}
        (tmp_path / run).mkdir()
        pd.DataFrame(items).to_parquet(tmp_path / run / PREDICTIONS_FILE)
    few = few.assign(metric="pearson")
    row = pair_rows(few, tmp_path).iloc[0]
    assert "no bootstrap: no value in " in row["reason"]
    assert pd.isna(row["bootstrap_low"])
    assert row["n_items"] == 3
    fronts = pareto_rows(few, tmp_path)
    assert fronts["reason"].str.startswith("no probability: no value in ").all()
    assert fronts["on_front"].notna().all()
    variance = variance_rows(few, tmp_path).set_index("variant")
    # under seed 2 the two predictions that are left without the first item are equal
    assert variance.loc["everything", "reason"] == NO_PSEUDO_VALUES
    assert variance["total_error"].notna().to_dict() == {"everything": False, "top": True}


def test_the_harder_task_of_a_claim_is_that_of_the_larger_error(tmp_path: Path) -> None:
    cells = pair(scored(0.11, 0.10, 0.12), scored(0.10, 0.09, 0.10)) | pair(
        scored(0.40, 0.39, 0.40), scored(0.30, 0.29, 0.28), task="words"
    )
    evidence = build_evidence(tmp_path, cells)
    falling = replace(evidence, frame=evidence.frame.assign(metric="mse"))
    test = BASE | {"kind": "interaction", "variants": ["small-2"], "above": 0.0}
    row = only(decide(falling, test | {"easier": "letters", "harder": "words"}))
    assert row["verdict"] == "supported"
    swapped = only(decide(falling, test | {"easier": "words", "harder": "letters"}))
    assert str(swapped["reason"]).startswith("letters is not the harder task here")


def test_models_are_not_compared_by_what_their_own_tokenizers_count(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    told = "perplexity compares the variants of one model, and no two models: each tokenizer cuts "
    alone = table.assign(metric=table["metric"].where(table["metric"].isna(), "perplexity"))
    several = alone.assign(model=alone["model"].where(alone["seed"] > 0, "other"))
    assert several["model"].nunique() > 1 == alone["model"].nunique()
    for name, frame, is_told in (("two", several, True), ("one", alone, False)):
        assert (told in written(frame, tmp_path / name)) == is_told, name
