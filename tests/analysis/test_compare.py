"""Two runs side by side: every difference is found, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from analysis.collect import collect
from analysis.comparability import split_by_fingerprint
from analysis.compare import Difference, Side, compare, find, tables
from analysis.errors import AnalysisError
from finegrid.records.plan import Plan
from finegrid.records.result import (
    RESULT_FILE,
    SPECIFICATION_FILE,
    Choice,
    Metrics,
    Result,
    Score,
    Trial,
    Values,
)
from finegrid.records.specification import Tuning
from finegrid.records.training import Optimizer
from tests.analysis.benchmark import bad_result, ok_result, specification


def ok_side(variant: str = "top", seed: int = 0, task: str = "letters", **training: Any) -> Side:
    """A measured run with changes in its training."""
    spec = specification(task, variant, seed)
    spec = spec.model_copy(update={"training": spec.training.model_copy(update=training)})
    return Side(spec.run, spec, ok_result(spec))


def changed(side: Side, **provenance: Any) -> Side:
    assert side.result is not None
    origin = side.result.provenance.model_copy(update=provenance)
    return Side(side.run, side.spec, side.result.model_copy(update={"provenance": origin}))


def test_a_run_does_not_differ_from_itself() -> None:
    found = compare(ok_side(), ok_side())
    assert (found.specification, found.fingerprint, found.obstacles) == ((), (), ())


def test_defaults_that_are_written_out_are_no_difference() -> None:
    assert compare(ok_side(), ok_side(optimizer=Optimizer(name="adamw"))).specification == ()


def test_every_key_that_differs_is_named_with_both_values() -> None:
    optimizer = Optimizer(weight_decay=0.1)
    found = compare(ok_side(), ok_side("small-2", 1, learning_rate=0.5, optimizer=optimizer))
    assert found.specification == (
        Difference("seed", "0", "1"),
        Difference("training.learning_rate", "0.001", "0.5"),
        Difference("training.optimizer.weight_decay", "0.0", "0.1"),
        Difference("variant.method", '"top"', '"small"'),
        Difference("variant.name", '"top"', '"small-2"'),
        Difference("variant.settings.bias", "true", None),
        Difference("variant.settings.rank", None, "2"),
        Difference("variant.settings.scale", None, "4.0"),
        Difference("variant.settings.shape", '"wide"', None),
        Difference("variant.settings.targets", None, '["a", "b"]'),
    )
    assert found.obstacles == ()


def test_null_is_a_value_and_not_an_absent_key() -> None:
    found = compare(ok_side(), ok_side(dropout=0.0, micro_batch_size=16))
    assert found.specification == (
        Difference("training.dropout", "null", "0.0"),
        Difference("training.micro_batch_size", "null", "16"),
    )
    # a micro batch that is the whole batch is what null stands for
    assert found.fingerprint == ()


def tuned(rate: float, grow: bool = False) -> Side:
    """A run whose tuning chose that learning rate."""
    side = ok_side()
    tuning = Tuning(seed=100, grid={"learning_rate": (0.1, 0.2)}, ratio=2.0, grow=grow)
    spec = side.spec.model_copy(update={"tuning": tuning})
    values: Values = {"learning_rate": rate}
    choice = Choice(
        key="cell",
        metric="accuracy",
        trials=(Trial(run="trial", values=values, state="ok", score=Score(value=0.5, n=10)),),
        chosen=values,
        chosen_run="trial",
        edge=None,
    )
    assert side.result is not None
    changes = {"spec": spec, "run": spec.run, "tuning": choice}
    return Side(spec.run, spec, side.result.model_copy(update=changes))


def test_tuned_values_stand_in_their_places() -> None:
    assert compare(tuned(0.1), tuned(0.2)).specification == (
        Difference("training.learning_rate", "0.1", "0.2"),
    )
    assert Difference("training.learning_rate", "0.001", "0.2") in (
        compare(ok_side(), tuned(0.2)).specification
    )


def test_another_search_for_the_same_values_is_a_difference() -> None:
    assert compare(tuned(0.1), tuned(0.1, grow=True)).specification == (
        Difference("tuning.grow", "false", "true"),
    )


def test_other_conditions_forbid_a_comparison() -> None:
    packages = {"torch": "2.11", "transformers": "5.1", "numpy": "2.4", "rich": "9"}
    left, right = ok_side(), changed(ok_side(), threads=8, packages=packages, git_commit="f" * 40)
    found = compare(left, right)
    assert found.specification == ()
    assert found.fingerprint == (Difference("torch", '"2.10"', '"2.11"'),)
    assert found.costs == (Difference("threads", '"1"', '"8"'),)
    assert found.obstacles == ("these keys differ: torch",)
    assert found.verdict == "not comparable: these keys differ: torch"


def test_batches_and_machines_forbid_a_comparison_of_costs_alone() -> None:
    found = compare(ok_side(), changed(ok_side(batch_size=4), threads=8))
    assert (found.fingerprint, found.obstacles) == ((), ())
    assert found.verdict == (
        "scores are comparable; memory and time are not: these keys differ: "
        "batch_size, micro_batch_size, threads"
    )
    assert compare(ok_side(), ok_side()).verdict == "comparable"


def test_a_library_that_one_side_does_not_use_forbids_nothing() -> None:
    plain = {"torch": "2.10", "transformers": "5.1", "numpy": "2.4"}
    old, new = (changed(ok_side(), packages=plain | {"peft": v}) for v in ("0.20", "0.21"))
    assert compare(ok_side(), old).verdict == compare(new, ok_side()).verdict == "comparable"
    assert compare(old, new).obstacles == ("these keys differ: peft",)


def test_another_task_is_another_data_set() -> None:
    assert compare(ok_side(), ok_side(task="words")).obstacles == (
        "these keys differ: data_sha256",
    )


def test_the_verdict_is_that_of_the_tables(plan: Plan, runs: Path) -> None:
    """Every pair of measured runs of a task and model: comparable if they share a part."""
    for run, spec in list(plan.runs.items())[:3]:
        packages = {"torch": "2.11", "transformers": "5.1", "numpy": "2.4"}
        record = changed(Side(run, spec, ok_result(spec)), packages=packages).result
        assert record is not None
        record.write(runs / run / RESULT_FILE)
    parts = [set(part.rows["run"].dropna()) for part in split_by_fingerprint(collect(plan, runs))]
    letters = [r for r, s in plan.runs.items() if s.task.name == "letters"][:9]
    for one in letters:
        for other in letters:
            together = any({one, other} <= part for part in parts)
            found = compare(find(one, runs), find(other, runs))
            assert together == (not found.obstacles), (one, other)


@pytest.mark.parametrize("state", ["failed", "oom"])
def test_only_a_run_that_failed_was_not_measured(state: str) -> None:
    spec = specification("letters", "bulky", 0)
    ended = Side(spec.run, spec, bad_result(spec, state, "it ended"))
    reason = f"{spec.run} was not measured: its state is failed"
    assert compare(ok_side(), ended).obstacles == ((reason,) if state == "failed" else ())


def test_a_specification_alone_has_differences_and_no_verdict(tmp_path: Path) -> None:
    spec = specification("letters", "top", 1)
    spec.write(tmp_path / "begun" / SPECIFICATION_FILE)
    begun = find("begun", tmp_path)
    found = compare(ok_side(), begun)
    assert found.specification == (Difference("seed", "0", "1"),)
    assert found.obstacles == (f"{spec.run} has no result",)
    assert [row[2] for row in tables(found, ok_side(), begun)[-1][2]] == ["no result", *"————"]


def test_the_outcome_stands_side_by_side_with_units() -> None:
    left, right = ok_side(), ok_side("small-8", 2)
    (*_, (title, headers, rows)) = tables(compare(left, right), left, right)
    assert (title, headers) == ("outcome", ["", "left", "right"])
    assert rows == [
        ["state", "ok", "ok"],
        ["validation", "accuracy 0.7050 (n=100)", "accuracy 0.8850 (n=100)"],
        ["test", "accuracy 0.7000 (n=200)", "accuracy 0.8800 (n=200)"],
        ["peak training memory", "7.0 MB", "7.3 MB"],
        ["training time", "10.0 s", "12.0 s"],
    ]


def test_what_was_not_measured_is_shown_with_its_reason() -> None:
    side = ok_side()
    assert side.result is not None
    metrics = side.result.metrics
    assert isinstance(metrics, Metrics)
    update = {
        "metrics": metrics.model_copy(update={"test": {}}),
        "memory": None,
        "memory_reason": "not on mps",
    }
    trial = Side(side.run, side.spec, side.result.model_copy(update=update))
    spec = specification("letters", "bulky", 0)
    oom = Side(spec.run, spec, bad_result(spec, "oom", "it was too large"))
    rows = {name: values for name, *values in tables(compare(trial, oom), trial, oom)[-1][2]}
    assert rows["state"] == ["ok", "oom: it was too large"]
    assert rows["test"] == ["—", "—"]
    assert rows["validation"] == ["accuracy 0.7050 (n=100)", "—"]
    assert rows["peak training memory"] == ["— (not on mps)", "—"]


def test_a_run_is_found_by_name_by_its_beginning_and_by_path(plan: Plan, finished: Path) -> None:
    for run in plan.runs:
        ways = (run, run[:-4], str(finished / run))
        assert {find(way, finished).run for way in ways} == {run}
    (ok, *_) = plan.runs
    assert find(str(finished / ok / RESULT_FILE), Path("nowhere")).result == Result.read(
        finished / ok / RESULT_FILE
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "letters-tiny-top",
            "run 'letters-tiny-top' may be any of 3, such as letters-tiny-top-s0-",
        ),
        ("leters-tiny-top", r"did you mean letters-tiny-top-s\d-"),
        ("zzz", r"no run 'zzz' below .*: it has 30 others"),
    ],
)
def test_a_name_that_is_not_one_run_is_refused(name: str, message: str, finished: Path) -> None:
    with pytest.raises(AnalysisError, match=message):
        find(name, finished)


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"holds neither result\.json nor"):
        find(str(tmp_path), tmp_path / "runs")
