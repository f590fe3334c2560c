"""Claims on runs whose effects are known by construction: every verdict, every way to have none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy import stats

from analysis.claims.evidence import Evidence
from finegrid.records.result import Result
from tests.analysis.benchmark import specification
from tests.analysis.claims.evidence import (
    DIFFERENCE,
    RATIO,
    Edit,
    Scores,
    claim,
    decide,
    only,
    pair,
    scored,
    timed,
    unchanged,
)


def test_a_ratio_of_constants_is_exact(build: Callable[..., Evidence]) -> None:
    test = RATIO | {"measure": "trainable_parameters"}
    evidence = build(pair(unchanged, unchanged))
    row = only(decide(evidence, test | {"below": 0.01}))
    assert (row["effect"], row["exact"], row["verdict"]) == (0.006, True, "supported")
    assert pd.isna(row["effect_low"])
    assert pd.isna(row["p_value"])
    assert only(decide(evidence, test | {"below": 0.005}))["verdict"] == "contradicted"
    equal = only(decide(evidence, test | {"below": 0.006}))
    assert (equal["verdict"], equal["reason"]) == ("not decided", "the effect equals the bound")


def paced(*ratios: float | None) -> Edit:
    """A run of seed s whose merged model takes the s-th ratio of the base's time."""

    def edit(result: Result) -> Result:
        assert result.inference is not None
        update = {"merged_to_base": ratios[result.spec.seed]}
        return result.model_copy(update={"inference": result.inference.model_copy(update=update)})

    return edit


def test_a_ratio_to_the_base_is_that_of_each_run_itself(build: Callable[..., Evidence]) -> None:
    test = RATIO | {"reference": None, "measure": "inference_merged_to_base", "below": 1.05}
    ratios = (0.99, 1.01, 1.002)
    row = only(decide(build(pair(paced(*ratios), unchanged)), test))
    interval = stats.t.interval(0.95, 2, loc=np.log(ratios).mean(), scale=stats.sem(np.log(ratios)))
    assert row["effect"] == pytest.approx(stats.gmean(ratios))
    assert (row["effect_low"], row["effect_high"]) == pytest.approx(tuple(np.exp(interval)))
    assert (row["verdict"], row["n_seeds"], row["reference"]) == ("supported", 3, None)
    assert len(row["runs"].split()) == 3


def once(*rounds: float) -> Edit:
    """A run that takes what the run of seed 0 has timed."""

    def edit(result: Result) -> Result:
        assert result.inference is not None
        update = {"merged_to_base": float(np.median(rounds)), "merged_ratios": rounds}
        first = result.spec.model_copy(update={"seed": 0}).run
        changes = {
            "inference": result.inference.model_copy(update=update),
            "costs_of": None if result.spec.seed == 0 else first,
        }
        return result.model_copy(update=changes)

    return edit


def test_a_ratio_that_was_timed_once_is_the_median_of_its_rounds(
    build: Callable[..., Evidence],
) -> None:
    test = RATIO | {"reference": None, "measure": "inference_merged_to_base"}
    rounds = (0.99, 1.0, 1.01, 0.98, 1.02, 1.001, 0.97, 1.011, 1.9)
    evidence = build(pair(once(*rounds), unchanged))
    row = only(decide(evidence, test | {"below": 1.05}))
    assert (row["effect"], row["effect_low"], row["effect_high"]) == (1.001, 0.98, 1.02)
    assert row["p_value"] == pytest.approx(stats.binomtest(1, 9).pvalue)
    assert (row["verdict"], row["n_seeds"], row["n_rounds"]) == ("supported", 1, 9)
    assert only(decide(evidence, test | {"below": 1.0}))["verdict"] == "not decided"
    assert only(decide(evidence, test | {"below": 0.95}))["verdict"] == "contradicted"


def test_five_rounds_are_too_few_for_an_interval(build: Callable[..., Evidence]) -> None:
    test = RATIO | {"reference": None, "measure": "inference_merged_to_base", "below": 1.05}
    row = only(decide(build(pair(once(1.0, 1.0, 1.0, 1.0, 1.0), unchanged)), test))
    assert (row["verdict"], row["effect"]) == ("not decided", 1.0)


def test_latencies_that_were_timed_apart_and_once_decide_nothing(
    build: Callable[..., Evidence],
) -> None:
    """Three seeds that repeat one value are one value, and no constant."""
    rounds = once(*[1.0] * 9)
    test = RATIO | {"measure": "inference_unmerged_seconds", "below": 100.0}
    row = only(decide(build(pair(rounds, rounds)), test))
    assert (row["verdict"], row["n_seeds"], row["exact"]) == ("not decided", 1, False)
    assert row["reason"].startswith("both were timed once")


def test_records_from_before_the_base_was_timed_decide_no_ratio_to_it(
    build: Callable[..., Evidence],
) -> None:
    test = RATIO | {"reference": None, "measure": "inference_merged_to_base", "below": 1.05}
    row = only(decide(build(pair(unchanged, unchanged)), test))
    assert row["verdict"] == "not decided"
    assert row["reason"] == "inference_merged_to_base is missing under seed 0, 1, 2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measure": "inference_merged_to_base"}, "is a ratio to the base; allowed: no reference"),
        ({"measure": "train_seconds", "reference": None}, "reference is required of train_seconds"),
    ],
)
def test_a_ratio_is_divided_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        claim(RATIO | {"below": 1.05} | changes)


def test_a_ratio_is_the_geometric_mean_with_its_t_interval(build: Callable[..., Evidence]) -> None:
    ours, theirs = (1.0, 2.2, 2.9), (2.0, 4.0, 6.0)
    evidence = build(pair(timed(*ours), timed(*theirs)))
    row = only(decide(evidence, RATIO | {"measure": "train_seconds", "below": 1.0}))
    logs = np.log(np.divide(ours, theirs))
    interval = stats.t.interval(0.95, 2, loc=logs.mean(), scale=stats.sem(logs))
    assert row["effect"] == pytest.approx(stats.gmean(np.divide(ours, theirs)))
    assert (row["effect_low"], row["effect_high"]) == pytest.approx(tuple(np.exp(interval)))
    assert row["p_value"] == pytest.approx(stats.ttest_1samp(logs, 0).pvalue)
    assert (row["verdict"], row["n_seeds"], row["n_items"]) == ("supported", 3, "200")
    assert set(row["runs"].split()) == set(evidence.plan.runs)


def test_two_measures_may_be_compared(build: Callable[..., Evidence]) -> None:
    def taken(result: Result) -> Result:
        assert result.inference is not None
        update = {"merged_seconds": 0.01 * (1 + result.spec.seed), "unmerged_seconds": 0.1}
        return result.model_copy(update={"inference": result.inference.model_copy(update=update)})

    test = RATIO | {
        "measure": "inference_merged_seconds",
        "reference_measure": "inference_unmerged_seconds",
        "below": 1.05,
    }
    row = only(decide(build(pair(taken, taken)), test))
    assert row["effect"] == pytest.approx(stats.gmean([0.1, 0.2, 0.3]))
    assert (row["verdict"], row["exact"]) == ("supported", False)
    assert row["measure"] == "inference_merged_seconds to inference_unmerged_seconds"


def test_equal_latencies_are_no_constants(build: Callable[..., Evidence]) -> None:
    test = RATIO | {"measure": "inference_unmerged_seconds", "below": 1.05}
    row = only(decide(build(pair(unchanged, unchanged)), test))
    assert (row["verdict"], row["exact"]) == ("not decided", False)


@pytest.mark.parametrize(
    ("scores", "bound", "verdict"),
    [
        ((0.79, 0.80, 0.81), {"above": -0.02}, "supported"),
        ((0.70, 0.71, 0.72), {"above": -0.02}, "contradicted"),
        ((0.70, 0.80, 0.90), {"above": -0.02}, "not decided"),
        ((0.70, 0.71, 0.72), {"below": 0.0}, "supported"),
        ((0.90, 0.91, 0.92), {"below": 0.0}, "contradicted"),
    ],
)
def test_a_difference_is_held_against_its_bound(
    build: Callable[..., Evidence], scores: Scores, bound: dict[str, float], verdict: str
) -> None:
    full = (0.801, 0.80, 0.812)
    row = only(decide(build(pair(scored(*scores), scored(*full))), DIFFERENCE | bound))
    differences = np.subtract(scores, full)
    low, high = stats.t.interval(0.95, 2, loc=differences.mean(), scale=stats.sem(differences))
    assert (row["effect_low"], row["effect_high"]) == pytest.approx((low, high))
    held = next(iter(bound.values()))
    assert row["p_value"] == pytest.approx(stats.ttest_1samp(differences, held).pvalue)
    assert row["verdict"] == verdict
    assert (row["reason"] == "the interval holds the bound") == (verdict == "not decided")


def test_the_tests_of_a_claim_are_adjusted_for_one_another(build: Callable[..., Evidence]) -> None:
    clear, weak = (0.80, 0.801, 0.802), (0.80, 0.81, 0.82)
    full = (0.70, 0.701, 0.7025)
    cells = pair(scored(*clear), scored(*full)) | pair(
        scored(*np.add(weak, (0.0, 0.01, 0.02))), scored(0.70, 0.74, 0.76), task="words"
    )
    evidence = build(cells)
    frame = decide(evidence, DIFFERENCE | {"tasks": ["letters", "words"], "above": 0.0})
    alone = only(decide(evidence, DIFFERENCE | {"tasks": ["words"], "above": 0.0}))
    assert alone["p_value"] == pytest.approx(frame["p_value"].iloc[1])
    assert frame["p_value_holm"].tolist() == pytest.approx(
        [2 * frame["p_value"].iloc[0], max(2 * frame["p_value"].iloc[0], alone["p_value"])]
    )


def test_a_small_p_value_that_holm_takes_away_decides_nothing(
    build: Callable[..., Evidence],
) -> None:
    gaps = np.array([0.05, 0.06, 0.09])
    assert 0.025 < stats.ttest_1samp(gaps, 0).pvalue < 0.05
    full = np.array([0.7, 0.7, 0.7])
    edits = scored(*(full + gaps)), scored(*full)
    evidence = build(pair(*edits) | pair(*edits, task="words"))
    assert only(decide(evidence, DIFFERENCE | {"above": 0.0}))["verdict"] == "supported"
    frame = decide(evidence, DIFFERENCE | {"tasks": ["letters", "words"], "above": 0.0})
    assert set(frame["verdict"]) == {"not decided"}
    assert frame["reason"].str.contains("when adjusted for the 2 tests of the claim").all()


@pytest.mark.parametrize("state", ["oom", "diverged", "undefined", "failed", "missing"])
def test_a_run_that_is_not_ok_leaves_it_undecided_and_is_named(
    build: Callable[..., Evidence], state: str
) -> None:
    cells = pair(scored(0.9, 0.91, 0.92), scored(0.5, 0.51, 0.53))
    evidence = build(cells, bad={("letters", "small-2", 1): state})
    row = only(decide(evidence, DIFFERENCE | {"above": 0.0}))
    assert (row["verdict"], row["n_seeds"], row["seeds"]) == ("not decided", 2, "0 2")
    run = specification("letters", "small-2", 1).run
    assert row["reason"] == f"{run}: {state}"
    assert run in row["runs"].split()


def test_one_seed_decides_nothing(build: Callable[..., Evidence]) -> None:
    evidence = build(pair(scored(0.9), scored(0.5)), seeds=(0,))
    row = only(decide(evidence, DIFFERENCE | {"above": 0.0}))
    assert (row["verdict"], row["reason"]) == ("not decided", "one seed, and an interval takes 2")


def elsewhere(result: Result) -> Result:
    machine = result.provenance.machine.model_copy(update={"processor": "another"})
    provenance = result.provenance.model_copy(update={"machine": machine})
    return result.model_copy(update={"provenance": provenance})


def test_costs_of_two_machines_are_not_mixed(build: Callable[..., Evidence]) -> None:
    evidence = build(pair(elsewhere, unchanged))
    row = only(decide(evidence, RATIO | {"measure": "train_seconds", "below": 2.0}))
    assert row["verdict"] == "not decided"
    assert row["reason"] == "the runs are not comparable, they differ in processor"
    # what depends on no machine is compared, and so are scores
    row = only(decide(evidence, RATIO | {"measure": "stored_bytes", "below": 0.5}))
    assert row["verdict"] == "supported"
    edits = scored(0.9, 0.91, 0.92), scored(0.5, 0.51, 0.53)
    evidence = build(pair(lambda result: elsewhere(edits[0](result)), edits[1]))
    assert only(decide(evidence, DIFFERENCE | {"above": 0.0}))["verdict"] == "supported"


def test_a_measure_that_a_record_lacks_is_named(build: Callable[..., Evidence]) -> None:
    def unmerged(result: Result) -> Result:
        assert result.inference is not None
        update = {"merged_seconds": None, "merged_reason": "it cannot"}
        return result.model_copy(update={"inference": result.inference.model_copy(update=update)})

    test = RATIO | {"measure": "inference_merged_seconds", "below": 1.0}
    row = only(decide(build(pair(unmerged, unchanged)), test))
    assert row["reason"] == "inference_merged_seconds is missing under seed 0, 1, 2"
    assert row["n_seeds"] == 0


@pytest.mark.parametrize(
    ("holds", "bounds", "verdict"),
    [
        ("everywhere", (0.01, 0.01), "supported"),
        ("everywhere", (0.01, 0.001), "contradicted"),
        ("somewhere", (0.01, 0.001), "supported"),
        ("somewhere", (0.001, 0.001), "contradicted"),
        ("everywhere", (0.01, 0.006), "not decided"),
        ("somewhere", (0.001, 0.006), "not decided"),
    ],
)
def test_a_claim_combines_its_tests(
    build: Callable[..., Evidence], holds: str, bounds: tuple[float, float], verdict: str
) -> None:
    tests = [RATIO | {"measure": "trainable_parameters", "below": bound} for bound in bounds]
    frame = decide(build(pair(unchanged, unchanged)), *tests, holds=holds)
    assert set(frame["claim_verdict"]) == {verdict}


def test_a_claim_without_a_test_is_not_measured(build: Callable[..., Evidence]) -> None:
    row = only(decide(build(pair(unchanged, unchanged)), not_measured="no such task"))
    assert (row["claim_verdict"], row["reason"]) == ("not measured", "no such task")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"below": 1.0, "above": 0.0}, "is required, and only one of them"),
        ({}, "is required, and only one of them"),
        ({"below": 0.0}, "0.0 is none; allowed: above 0"),
    ],
)
def test_a_test_has_one_bound(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        claim(RATIO | {"measure": "stored_bytes"} | change)
