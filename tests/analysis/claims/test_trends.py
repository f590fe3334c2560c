"""Trends and interactions of runs whose effects are known by construction."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.claims.evidence import Evidence
from analysis.claims.page import page
from finegrid.records.result import Result
from tests.analysis.benchmark import SEEDS, VARIANTS
from tests.analysis.claims.evidence import (
    BASE,
    DIFFERENCE,
    Edit,
    Scores,
    claim,
    decide,
    only,
    pair,
    scored,
    unchanged,
)

SIZES = {"words-50": {"train": 50}, "words-100": {"train": 100}, "words-400": {"train": 400}}


def test_a_trend_is_the_slope_of_the_gap_over_doublings(build: Callable[..., Evidence]) -> None:
    gaps: dict[str, Scores] = {
        "words-50": (-0.10, -0.11, -0.12),
        "words-100": (-0.07, -0.08, -0.10),
    }
    gaps |= {"words-400": (-0.01, -0.02, -0.02)}
    cells: dict[tuple[str, str], Edit] = {}
    for task, values in gaps.items():
        cells[task, "small-2"] = scored(*np.add(0.9, values))
        cells[task, "everything"] = scored(0.9, 0.9, 0.9)
    test: dict[str, Any] = BASE | {"kind": "trend", "tasks": list(gaps), "variants": ["small-2"]}
    evidence = build(cells, options=SIZES)
    row = only(decide(evidence, test | {"along": "options.train", "above": 0.0}))
    x = np.log2([50, 100, 400])
    slopes = [stats.linregress(x, [gaps[t][s] for t in gaps]).slope for s in SEEDS]
    interval = stats.t.interval(0.95, 2, loc=np.mean(slopes), scale=stats.sem(slopes))
    assert row["effect"] == pytest.approx(np.mean(slopes))
    assert (row["effect_low"], row["effect_high"]) == pytest.approx(interval)
    assert (row["verdict"], row["unit"]) == ("supported", "test score a doubling")


def test_a_gap_that_stays_the_same_is_no_trend(build: Callable[..., Evidence]) -> None:
    cells = {(task, name): scored(0.9, 0.8, 0.7) for task in SIZES for name in VARIANTS}
    test = BASE | {"kind": "trend", "tasks": list(SIZES), "variants": ["small-2"]}
    row = only(decide(build(cells, options=SIZES), test | {"along": "options.train", "above": 0.0}))
    assert (row["effect"], row["verdict"], row["p_value"]) == (0.0, "not decided", 1)
    assert row["reason"] == "the interval holds the bound"


def test_an_effect_that_is_the_same_for_every_seed_decides_nothing(
    build: Callable[..., Evidence],
) -> None:
    evidence = build(pair(scored(0.9, 0.8, 0.7), scored(0.8, 0.7, 0.6)))
    row = only(decide(evidence, DIFFERENCE | {"above": 0.0}))
    assert (row["effect"], row["verdict"]) == (pytest.approx(0.1), "not decided")
    assert row["reason"] == "every seed gives the same value, whose spread cannot be told"
    assert row[["effect_low", "effect_high", "p_value", "p_value_holm"]].isna().all()


def test_a_trend_may_follow_a_setting(build: Callable[..., Evidence]) -> None:
    cells = {
        ("letters", "small-2"): scored(0.80, 0.81, 0.80),
        ("letters", "small-8"): scored(0.84, 0.85, 0.86),
        ("letters", "everything"): scored(0.9, 0.9, 0.9),
    }
    test = BASE | {"kind": "trend", "tasks": ["letters"], "variants": ["small-2", "small-8"]}
    row = only(decide(build(cells), test | {"along": "settings.rank", "above": 0.0}))
    assert row["effect"] == pytest.approx(np.mean([0.04, 0.04, 0.06]) / 2)
    assert row["variants"] == "small-2 small-8"


@pytest.mark.parametrize(
    "names", [("a-50", "b-50", "c-400", "d-400"), ("d-400", "b-50", "a-50", "c-400")], ids=str
)
def test_tasks_that_share_a_number_are_all_points_of_a_trend(
    names: tuple[str, ...], build: Callable[..., Evidence]
) -> None:
    gaps: dict[str, Scores] = {"a-50": (-0.20, -0.21, -0.22), "b-50": (0.0, 0.01, 0.02)}
    gaps |= {"c-400": (-0.02, -0.02, -0.03), "d-400": (0.01, 0.0, 0.0)}
    sizes = {name: {"train": int(name.partition("-")[2])} for name in gaps}
    cells: dict[tuple[str, str], Edit] = {}
    for task, values in gaps.items():
        cells[task, "small-2"] = scored(*np.add(0.9, values))
        cells[task, "everything"] = scored(0.9, 0.9, 0.9)
    evidence = build(cells, options=sizes)
    test = BASE | {"kind": "trend", "tasks": list(names), "variants": ["small-2"], "above": 0.0}
    test |= {"along": "options.train"}
    rows = decide(evidence, test)
    row = only(rows)
    x = np.log2([sizes[name]["train"] for name in gaps])
    slopes = [stats.linregress(x, [gaps[t][s] for t in gaps]).slope for s in SEEDS]
    assert row["effect"] == pytest.approx(np.mean(slopes))
    made = page("demo", [claim(test)], rows, evidence)
    assert all(name in made.partition("## it: small-2 by train")[2] for name in names)


def test_a_setting_is_that_of_the_model_and_task(build: Callable[..., Evidence]) -> None:
    """A variant's name may stand for other settings on another model."""
    cells = {
        ("letters", "small-2"): scored(0.80, 0.81, 0.80),
        ("letters", "small-8"): scored(0.84, 0.85, 0.86),
        ("letters", "everything"): scored(0.9, 0.9, 0.9),
    }
    evidence = build(cells)
    first = evidence.plan.cells[0]
    other = {
        run: spec.model_copy(
            update={
                "model": spec.model.model_copy(update={"name": "large"}),
                "variant": spec.variant.model_copy(update={"settings": {"rank": 64}}),
            }
        )
        for run, spec in first.runs.items()
    }
    odd = first.model_copy(update={"model": "large", "runs": {s.run: s for s in other.values()}})
    plan = evidence.plan.model_copy(update={"cells": (odd, *evidence.plan.cells)})
    test: dict[str, Any] = BASE | {"kind": "trend", "along": "settings.rank", "above": 0.0}
    test |= {"tasks": ["letters"], "variants": ["small-2", "small-8"]}
    row = only(decide(Evidence(plan, evidence.frame, evidence.runs), test))
    assert row["effect"] == pytest.approx(np.mean([0.04, 0.04, 0.06]) / 2)


INTERACTION = BASE | {"kind": "interaction", "variants": ["small-2"], "below": 0.0}


def test_an_interaction_is_a_difference_of_gaps(build: Callable[..., Evidence]) -> None:
    cells = pair(scored(0.89, 0.90, 0.88), scored(0.90, 0.91, 0.90)) | pair(
        scored(0.60, 0.61, 0.60), scored(0.70, 0.71, 0.72), task="words"
    )
    evidence = build(cells)
    row = only(decide(evidence, INTERACTION | {"easier": "letters", "harder": "words"}))
    gaps = np.array([-0.10, -0.10, -0.12]) - np.array([-0.01, -0.01, -0.02])
    assert row["effect"] == pytest.approx(gaps.mean())
    assert (row["verdict"], row["tasks"]) == ("supported", "letters words")
    swapped = only(decide(evidence, INTERACTION | {"easier": "words", "harder": "letters"}))
    assert swapped["verdict"] == "not decided"
    assert swapped["reason"] == (
        "letters is not the harder task here: everything scores 0.903 on letters and 0.710 on words"
    )


def test_two_tasks_differ_in_their_data_and_in_nothing_else(build: Callable[..., Evidence]) -> None:
    def longer(result: Result) -> Result:
        packages = result.provenance.packages | {"torch": "9.9"}
        provenance = result.provenance.model_copy(update={"packages": packages})
        return result.model_copy(update={"provenance": provenance})

    cells = pair(unchanged, unchanged) | pair(longer, longer, task="words")
    row = only(decide(build(cells), INTERACTION | {"easier": "letters", "harder": "words"}))
    assert row["reason"] == "the runs are not comparable, they differ in torch"
