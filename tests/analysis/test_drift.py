"""Runs of then and now: what moved, what is only noise, and what cannot be told."""

from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from analysis.drift.anchors import Anchor, choose, named, read_anchors
from analysis.drift.findings import (
    CellDrift,
    Change,
    Drift,
    Margins,
    Pair,
    Shift,
    find_drift,
)
from analysis.drift.tables import remarks, tables
from analysis.errors import AnalysisError
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE, Losses, Result, Score
from finegrid.records.specification import Specification
from tests.analysis.benchmark import SEEDS, bad_result, ok_result, specification

LOSSES = (0.41, 0.47, 0.44)
NOISE = (0.002, -0.001, -0.0015)


def finished(seed: int, variant: str = "top", *, loss: float | None = None) -> Result:
    """A run of then, with a summary of its losses unless it is from before there was one."""
    result = ok_result(specification("letters", variant, seed))
    value = LOSSES[seed] if loss is None else loss
    losses = Losses(first=2.0, mean=1.0, final=value, last=value)
    return result.model_copy(update={"losses": losses})


def moved(result: Result, loss: float = 0.0, score: float = 0.0, **provenance: Any) -> Result:
    """The same run with another final loss, other scores on both splits and other conditions."""
    assert result.losses
    assert result.metrics
    losses = result.losses.model_copy(update={"final": result.losses.final + loss})
    scores = {
        split: {
            name: Score(value=one.value + score, n=one.n)
            for name, one in getattr(result.metrics, split).items()
        }
        for split in ("validation", "test")
    }
    return result.model_copy(
        update={
            "losses": losses,
            "metrics": result.metrics.model_copy(update=scores),
            "provenance": result.provenance.model_copy(update=provenance),
        }
    )


def drift(margins: Margins = Margins(), **cells: list[Pair]) -> Drift:  # noqa: B008
    return find_drift(cells, "then", "now", "by hand", margins)


def cell(pairs: list[Pair]) -> CellDrift:
    return drift(top=pairs).cells[0]


def shift(found: CellDrift, measure: str) -> Shift:
    return next(one for one in found.shifts if one.measure == measure)


def test_equal_runs_are_identical_whatever_their_conditions() -> None:
    pairs = [Pair(one, moved(one, source_digest="f" * 64)) for one in map(finished, SEEDS)]
    found = cell(pairs)
    assert found.verdict == "identical"
    assert [(one.mean, one.low, one.high, one.p_adjusted) for one in found.shifts] == [
        (0, 0, 0, 1)
    ] * 3
    assert found.changes == (Change(key="source_digest", then="d" * 64, now="f" * 64),)


def test_a_last_bit_is_enough_to_be_no_longer_identical() -> None:
    one, other = finished(0), finished(1)
    found = cell([Pair(one, one), Pair(other, moved(other, loss=2**-50))])
    assert found.verdict == "equivalent"
    assert [one.losses_equal for one in found.reruns] == [True, False]
    assert [one.scores_equal for one in found.reruns] == [True, True]


@pytest.mark.parametrize(("by", "verdict"), [(0.0, "equivalent"), (0.1, "shifted")])
def test_a_shift_is_that_of_the_paired_t_test(by: float, verdict: str) -> None:
    then = [finished(seed) for seed in SEEDS]
    now = [moved(one, loss=by + noise) for one, noise in zip(then, NOISE, strict=True)]
    found = cell([Pair(*pair) for pair in zip(then, now, strict=True)])
    loss = shift(found, "final training loss")
    expected = stats.ttest_rel(
        [one.losses.final for one in now if one.losses],
        [one.losses.final for one in then if one.losses],
    )
    interval = expected.confidence_interval(0.95)
    assert (loss.mean, loss.low, loss.high, loss.p_value, loss.n) == pytest.approx(
        (by + sum(NOISE) / 3, interval.low, interval.high, expected.pvalue, 3)
    )
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((0.001, -0.001, 0.0005), "equivalent"),  # far below the margin
        ((0.0030, 0.0031, 0.0029), "equivalent"),  # there is a shift, and it does not count
        ((0.02, -0.015, 0.01), "cannot tell"),  # no test finds a shift, nor that there is none
        ((0.0098, 0.0102, 0.0100), "shifted"),  # as large as the margin
        ((-0.05, -0.0501, -0.0502), "shifted"),
    ],
)
def test_three_verdicts_by_an_equivalence_test(scores: tuple[float, ...], verdict: str) -> None:
    then = [finished(seed) for seed in SEEDS]
    found = drift(
        top=[Pair(one, moved(one, score=by)) for one, by in zip(then, scores, strict=True)]
    )
    assert found.cells[0].verdict == verdict
    assert found.unmoved == (verdict == "equivalent")
    test = shift(found.cells[0], "test")
    assert test.margin == found.margins.score == 0.01
    sides = [
        stats.ttest_1samp(scores, by, alternative=side).pvalue
        for by, side in ((-0.01, "greater"), (0.01, "less"))
    ]
    assert test.p_equivalence == pytest.approx(max(sides), rel=1e-6)
    assert any("margin: 0.01 of a score" in line for line in remarks(found))


def test_the_margins_are_the_callers_and_the_losss_a_share() -> None:
    then = [finished(seed) for seed in SEEDS]
    now = [moved(one, loss=by) for one, by in zip(then, (0.02, 0.021, 0.022), strict=True)]
    pairs = [Pair(*pair) for pair in zip(then, now, strict=True)]
    found = [drift(Margins(loss=share), top=pairs).cells[0] for share in (0.01, 0.1)]
    assert [one.verdict for one in found] == ["shifted", "equivalent"]
    mean = sum(LOSSES) / 3
    margins = [shift(one, "final training loss").margin for one in found]
    assert margins == pytest.approx([0.01 * mean, 0.1 * mean])


def test_what_else_a_record_says_of_the_task_is_no_shift_of_the_model() -> None:
    """A record of today has the trivial predictor's score, one from before has none."""
    one = finished(0)
    assert one.metrics
    now = one.model_copy(update={"metrics": one.metrics.model_copy(update={"trivial": None})})
    assert now != one
    assert cell([Pair(one, now)]).verdict == "identical"


def test_p_values_are_adjusted_over_cells_and_measures() -> None:
    """The smallest p is 0.0131: at most 0.05 if multiplied by three tests, and above it by six."""
    then = [finished(seed) for seed in SEEDS]
    now = [moved(one, loss=by) for one, by in zip(then, (0.8, 1.0, 1.2), strict=True)]
    raw = stats.ttest_rel([0.8, 1.0, 1.2], [0, 0, 0]).pvalue
    assert raw == pytest.approx(0.0131, abs=5e-5)
    alone = drift(a=[Pair(*pair) for pair in zip(then, now, strict=True)])
    both = drift(
        a=[Pair(*pair) for pair in zip(then, now, strict=True)],
        b=[Pair(one, moved(one, score=0.0)) for one in then],
    )
    for found, tests in ((alone, 3), (both, 6)):
        loss = shift(found.cells[0], "final training loss")
        assert found.tests == tests
        assert loss.p_adjusted == pytest.approx(tests * raw)
    assert both.cells[0].verdict == "cannot tell"
    assert alone.cells[0].verdict == "shifted"


def test_scores_shift_apart_from_losses_with_their_items() -> None:
    then = [finished(seed) for seed in SEEDS]
    scores = (-0.017, -0.016, -0.018)
    found = cell([Pair(one, moved(one, score=by)) for one, by in zip(then, scores, strict=True)])
    assert found.verdict == "shifted"
    assert [one.losses_equal for one in found.reruns] == [True] * 3
    assert shift(found, "final training loss").mean == 0
    test = shift(found, "test")
    assert (test.metric, test.items) == ("accuracy", (200,))
    assert test.mean == pytest.approx(-0.017)
    assert shift(found, "validation").items == (100,)


def test_a_shift_that_is_the_same_for_every_seed_is_not_tested() -> None:
    found = drift(top=[Pair(one, moved(one, score=-0.017)) for one in map(finished, SEEDS)])
    assert found.cells[0].verdict == "cannot tell"
    assert not found.unmoved
    assert found.tests == 1
    test = shift(found.cells[0], "test")
    assert test.mean == pytest.approx(-0.017)
    assert (test.low, test.high, test.p_value, test.p_adjusted) == (None, None, None, None)
    reason = "every seed gives the same value, whose spread cannot be told"
    assert f"top, test: {reason}" in remarks(found)


def test_one_seed_has_a_shift_and_no_interval() -> None:
    one = finished(0)
    found = cell([Pair(one, moved(one, loss=0.5))])
    loss = shift(found, "final training loss")
    assert loss.mean == pytest.approx(0.5)
    assert (loss.low, loss.high, loss.p_value) == (None, None, None)
    assert loss.reason == "one seed has no interval and no test"
    assert found.verdict == "cannot tell"
    assert not drift(top=[Pair(one, moved(one, loss=0.5))]).unmoved
    assert drift(top=[Pair(one, one)]).cells[0].verdict == "identical"


def test_a_record_without_losses_says_so_and_is_never_called_identical() -> None:
    then = [finished(seed) for seed in SEEDS]
    old = [one.model_copy(update={"losses": None}) for one in then]
    found = cell([Pair(*pair) for pair in zip(old, then, strict=True)])
    loss = shift(found, "final training loss")
    assert (loss.n, loss.mean) == (0, None)
    assert loss.reason == (
        "the record of then holds no training losses (seed 0, 1, 2); no seed has it then and now"
    )
    assert found.verdict == "equivalent"
    assert shift(found, "test").mean == 0


@pytest.mark.parametrize("state", ["oom", "diverged", "failed"])
def test_a_failed_re_run_is_shown_and_not_averaged(state: str) -> None:
    then = [finished(seed) for seed in SEEDS]
    ended = bad_result(then[1].spec, state, "no <more> memory")
    found = drift(top=[Pair(then[0], then[0]), Pair(then[1], ended), Pair(then[2], then[2])])
    assert found.cells[0].verdict == "re-run failed"
    assert not found.unmoved
    assert [one.n for one in found.cells[0].shifts] == [2, 2, 2]
    (_, _, rows), *_ = tables(found)
    assert ["seed 1", "", state, "no <more> memory", "", "", ""] in rows


def test_a_re_run_without_a_record_keeps_its_reason() -> None:
    found = drift(top=[Pair(finished(0), None, "exit -9: it left no word")])
    (rerun,) = found.cells[0].reruns
    assert (rerun.state, rerun.reason) == ("failed", "exit -9: it left no word")
    assert not found.unmoved
    assert any("no seed has it then and now" in line for line in remarks(found))


def test_changed_conditions_are_named_once_for_all_seeds() -> None:
    packages = {"torch": "2.11", "transformers": "5.1", "numpy": "2.4", "new": "1"}
    now: dict[str, Any] = {"packages": packages, "python": "3.12.1", "threads": 2}
    found = cell([Pair(one, moved(one, **now)) for one in map(finished, SEEDS)])
    assert found.changes == (
        Change(key="new", then=None, now="1"),
        Change(key="python", then="3.11.9", now="3.12.1"),
        Change(key="threads", then="1", now="2"),
        Change(key="torch", then="2.10", now="2.11"),
    )


def test_the_report_is_strict_json(tmp_path: Path) -> None:
    found = drift(top=[Pair(one, moved(one, loss=0.1)) for one in map(finished, SEEDS)])
    found.write(tmp_path / "drift.json")
    assert Drift.read(tmp_path / "drift.json") == found


def anchor(task: str, variant: str, seconds: float) -> Anchor:
    spec = specification(task, variant, 0)
    result = ok_result(spec)
    assert result.time
    time = result.time.model_copy(update={"train_seconds": seconds})
    return Anchor(spec.cell, (result.model_copy(update={"time": time}),))


def test_the_cheapest_cells_of_each_task_and_method_come_first() -> None:
    anchors = [
        anchor("letters", "small-2", 1),
        anchor("letters", "small-8", 2),
        anchor("letters", "top", 3),
        anchor("words", "small-2", 40),
        anchor("words", "everything", 50),
        anchor("words", "top", 60),
    ]
    order = [one.name for one in choose(anchors, 6)]
    assert order == [
        "letters-tiny-small-2",
        "words-tiny-everything",
        "letters-tiny-top",
        "words-tiny-small-2",
        "words-tiny-top",
        "letters-tiny-small-8",
    ]
    assert [one.name for one in choose(anchors[::-1], 4)] == order[:4]
    assert len(choose(anchors, 99)) == 6


def test_anchors_are_the_ok_runs_of_a_folder_with_all_their_seeds(plan: Plan, runs: Path) -> None:
    found = read_anchors(runs.parent)
    cells = {one.cell for one in plan.runs.values() if one.variant.name != "bulky"}
    assert {one.name for one in found} == cells
    assert {tuple(run.spec.seed for run in one.runs) for one in found} == {SEEDS}
    assert found[0].train_seconds == sum(10.0 + seed for seed in SEEDS)


def test_a_benchmark_narrows_the_runs_to_its_plan(plan: Plan, runs: Path) -> None:
    own = plan.model_copy(update={"cells": plan.cells[:1]})
    own.write(runs.parent / "plans" / "demo.json")
    (found,) = read_anchors(runs.parent, "demo")
    assert {one.run for one in found.runs} == set(own.cells[0].runs)
    with pytest.raises(AnalysisError, match="did you mean 'demo'"):
        read_anchors(runs.parent, "dmo")


def test_cells_of_one_name_are_told_apart(runs: Path) -> None:
    spec = specification("letters", "top", 0, learning_rate=0.5)
    ok_result(spec).write(runs / spec.run / RESULT_FILE)
    found = named(read_anchors(runs.parent), ["letters-tiny-top"])
    assert [len(one.runs) for one in found] in ([3, 1], [1, 3])
    assert len({one.name for one in found}) == 2
    assert named(found, [found[0].name]) == found[:1]


def test_bad_input_is_one_clear_error(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no folder 'runs'"):
        read_anchors(tmp_path / "nowhere")
    with pytest.raises(AnalysisError, match="did you mean 'letters-tiny-top'"):
        named(read_anchors(runs.parent), ["letters-tiny-topp"])
    (tmp_path / "empty" / "runs").mkdir(parents=True)
    with pytest.raises(AnalysisError, match="no run ended ok"):
        read_anchors(tmp_path / "empty")


def test_a_trial_is_no_anchor(tmp_path: Path) -> None:
    run = specification("letters", "top", 0)
    spec = Specification.model_validate(run.model_copy(update={"role": "trial"}))
    result = ok_result(run)
    assert result.metrics
    metrics = result.metrics.model_copy(update={"test": {}})
    changes = {"run": spec.run, "spec": spec, "metrics": metrics}
    result.model_copy(update=changes).write(tmp_path / "runs" / spec.run / RESULT_FILE)
    with pytest.raises(AnalysisError, match="no run ended ok"):
        read_anchors(tmp_path)
