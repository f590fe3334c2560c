"""Runs of different fingerprints never meet in one number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.collect import collect
from analysis.comparability import (
    BESIDE,
    PACKAGES,
    cost_fields,
    fingerprint_fields,
    split_by_fingerprint,
)
from analysis.comparisons.pareto import UNLIKE, pareto_rows
from analysis.frame import COMPARABLE, CONDITION
from analysis.notes import notes
from analysis.summary import summarise
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE, Result
from finegrid.training import provenance
from tests.analysis.benchmark import SEEDS, rewrite, run_of
from tests.analysis.shown import written

Edit = Callable[[dict[str, Any]], None]


def more_threads(record: dict[str, Any]) -> None:
    record["provenance"]["threads"] = 8


def newer_torch(record: dict[str, Any]) -> None:
    record["provenance"]["packages"]["torch"] = "2.11"


def other_base(record: dict[str, Any]) -> None:
    record["provenance"]["model_sha256"] = "0" * 64


def smaller_micro_batches(record: dict[str, Any]) -> None:
    """As of a run that started again in these, where its memory had run out."""
    record["micro_batch_size"] = 4


def other_patch_version(record: dict[str, Any]) -> None:
    record["provenance"]["python"] = "3.11.1"
    record["provenance"]["started_at"] = "2026-02-02T00:00:00Z"


def test_tasks_differ_by_design(table: pd.DataFrame) -> None:
    parts = split_by_fingerprint(table)
    assert [(part.task, part.differs) for part in parts] == [("letters", {}), ("words", {})]
    assert parts[0].fingerprint != parts[1].fingerprint
    assert sum(len(part.rows) for part in parts) == len(table)


@pytest.mark.parametrize(
    ("edit", "key", "values"),
    [
        (newer_torch, "torch", ["2.10", "2.11"]),
        (other_base, "model_sha256", ["e" * 12, "0" * 12]),
    ],
)
def test_two_fingerprints_split_the_group_and_name_the_key(
    edit: Edit,
    key: str,
    values: list[str],
    plan: Plan,
    runs: Path,
) -> None:
    rewrite(runs / run_of("letters", "top", 2) / RESULT_FILE, edit)
    table = collect(plan, runs)
    first, second, other = split_by_fingerprint(table)
    assert [first.differs, second.differs] == [{key: value} for value in values]
    assert other.differs == {}
    assert list(second.rows["run"]) == [run_of("letters", "top", 2)]
    text = written(table, runs.parent)
    assert f"letters · tiny: {key} = {values[1]}" in text
    assert "letters · tiny is split: the scores of its runs are not comparable." in text


def test_no_mean_crosses_fingerprints(plan: Plan, runs: Path) -> None:
    rewrite(runs / run_of("letters", "top", 2) / RESULT_FILE, newer_torch)
    summary = summarise(collect(plan, runs))
    rows = summary[(summary["task"] == "letters") & (summary["variant"] == "top")]
    # seeds 0, 1, 2 scored 0.70, 0.71, 0.72
    assert list(rows["test_score_mean"]) == pytest.approx([0.705, 0.72])
    assert list(rows["test_score_n"]) == [2, 1]
    assert list(rows["state"]) == [
        "1 of 3 under another fingerprint",
        "2 of 3 under another fingerprint",
    ]


def test_what_changes_no_number_does_not_split(plan: Plan, runs: Path) -> None:
    rewrite(runs / run_of("letters", "top", 2) / RESULT_FILE, other_patch_version)
    assert len(split_by_fingerprint(collect(plan, runs))) == 2


def test_a_missing_run_stays_with_the_seeds_of_its_cell(plan: Plan, runs: Path) -> None:
    for seed in (0, 1):
        rewrite(runs / run_of("letters", "top", seed) / RESULT_FILE, newer_torch)
    (runs / run_of("letters", "top", 2) / RESULT_FILE).unlink()
    summary = summarise(collect(plan, runs))
    rows = summary[(summary["task"] == "letters") & (summary["variant"] == "top")]
    assert list(rows["state"]) == ["missing 1 of 3"]
    assert list(rows["difference"]) == ["torch = 2.11"]


def edited(plan: Plan, runs: Path, edit: Edit, *names: str, seeds: tuple[int, ...]) -> pd.DataFrame:
    """The runs table after an edit of runs on the letters."""
    for name in names:
        for seed in seeds:
            rewrite(runs / run_of("letters", name, seed) / RESULT_FILE, edit)
    return collect(plan, runs)


def version_of(library: str, version: str) -> Edit:
    def edit(record: dict[str, Any]) -> None:
        record["provenance"]["packages"][library] = version

    return edit


def test_a_library_parts_its_own_runs_and_no_others(plan: Plan, runs: Path) -> None:
    """A method of peft is compared with one of another version of peft by nothing."""
    table = edited(plan, runs, version_of("peft", "0.20"), "small-2", seeds=SEEDS)
    (letters, _) = split_by_fingerprint(table)
    assert letters.differs == {}
    table = edited(plan, runs, version_of("peft", "0.21"), "small-8", seeds=SEEDS)
    old, new, words = split_by_fingerprint(table)
    assert (old.difference, new.difference, words.difference) == ("peft = 0.20", "peft = 0.21", "")
    assert set(new.rows["variant"]) == {"small-8"}
    assert set(old.rows["variant"]) == {"everything", "small-2", "top", "bulky", "unfit"}
    assert len({part.fingerprint for part in (old, new, words)}) == 3
    table = edited(plan, runs, version_of("wandb", "99"), "top", seeds=(0,))
    assert len(split_by_fingerprint(table)) == 3
    # other packages of every run part the same runs, and the library then parts none
    table = edited(plan, runs, newer_torch, "small-8", "top", seeds=SEEDS)
    old, new, _ = split_by_fingerprint(table)
    assert (old.difference, new.difference) == (
        "torch = 2.10, peft = 0.20",
        "torch = 2.11, peft = 0.21",
    )
    assert set(new.rows["variant"]) == {"small-8", "top"}


def test_every_package_of_a_run_is_known() -> None:
    assert sorted((*PACKAGES, *BESIDE)) == sorted(provenance.PACKAGES)


@pytest.mark.parametrize("edit", [more_threads, smaller_micro_batches])
def test_costs_that_do_not_compare_leave_the_scores_together(
    edit: Edit, plan: Plan, runs: Path, tmp_path: Path
) -> None:
    table = edited(plan, runs, edit, "top", "small-2", seeds=SEEDS)
    parts = split_by_fingerprint(table)
    assert [part.difference for part in parts] == ["", ""]
    summary = summarise(table)
    letters = summary[summary["task"] == "letters"].set_index("variant")
    assert dict(letters["cost_group"].dropna()) == {
        "everything": "a",
        "small-2": "b",
        "small-8": "a",
        "top": "b",
    }
    assert letters.loc["top", "standing"] == "n.s."  # of all, not of its letter
    assert letters.loc["top", "peak_training_bytes_n"] == 3
    assert summary.loc[summary["task"] == "words", "cost_group"].isna().all()
    key, values = (
        ("threads", ["1", "8"]) if edit is more_threads else ("micro_batch_size", ["16", "4"])
    )
    note = (
        "letters · tiny: scores compare, and memory and time only between rows of one letter. "
        f"[a] {key} {values[0]}: everything, small-8; [b] {key} {values[1]}: small-2, top."
    )
    assert note in notes(table, summary)
    text = written(table, tmp_path)
    assert "10.0 s [a]" not in text
    assert "11.0 s [a]" in text
    assert "11.0 s [b]" in text


def test_no_front_joins_costs_that_do_not_compare(plan: Plan, runs: Path) -> None:
    table = edited(plan, runs, smaller_micro_batches, "top", "small-2", seeds=SEEDS)
    rows = pareto_rows(table, runs)
    letters = rows[rows["task"] == "letters"].set_index(["cost", "variant"])
    # by parameters all compare: the cheapest and the best lie on one front
    parameters = letters.loc["trainable_parameters"]
    assert parameters["front"].isna().all()
    assert parameters["on_front"].dropna().all()
    for cost in ("peak_training_bytes", "train_seconds"):
        found = letters.loc[cost]
        assert list(found.index) == list(dict.fromkeys(table["variant"]))
        assert dict(found["front"][["top", "small-2", "small-8", "everything"]]) == {
            "top": "b",
            "small-2": "b",
            "small-8": "a",
            "everything": "a",
        }
    # all train for the same time: of each front the best score alone is left
    seconds = letters.loc["train_seconds"]["on_front"].dropna()
    assert dict(seconds) == {"everything": True, "small-2": True, "small-8": False, "top": False}


def test_a_run_that_fell_back_stays_in_the_mean_of_the_score_alone(
    plan: Plan, runs: Path, tmp_path: Path
) -> None:
    table = edited(plan, runs, smaller_micro_batches, "top", seeds=(2,))
    summary = summarise(table)
    row = summary.query("task == 'letters' and variant == 'top'").iloc[0]
    assert (row["test_score_mean"], row["test_score_n"]) == (pytest.approx(0.71), 3)
    assert (row["state"], row["standing"]) == ("ok", "n.s.")
    assert (row["stored_bytes_n"], row["peak_training_bytes_n"], row["train_seconds_n"]) == (
        3,
        0,
        0,
    )
    assert pd.isna(row["peak_training_bytes_mean"])
    assert pd.isna(row["cost_fingerprint"])
    note = (
        "letters · tiny: top has no mean of memory and time, for its seeds differ in "
        "micro_batch_size (16 and 4)."
    )
    assert note in notes(table, summary)
    reasons = pareto_rows(table, runs).query("task == 'letters' and variant == 'top'")["reason"]
    assert list(reasons) == [None, UNLIKE, UNLIKE]


def test_devices_that_share_a_run_are_conditions_of_its_costs(plan: Plan, runs: Path) -> None:
    alone = Result.read(runs / run_of("letters", "top", 2) / RESULT_FILE)
    training = alone.spec.training.model_copy(update={"devices": 2, "strategy": "fsdp"})
    shared = alone.model_copy(update={"spec": alone.spec.model_copy(update={"training": training})})
    assert fingerprint_fields(shared) == fingerprint_fields(alone)
    assert cost_fields(shared) == cost_fields(alone) | {"devices": "2", "strategy": "fsdp"}
    frame = collect(plan, runs)
    where = (frame["variant"] == "top") & (frame["task"] == "letters")
    for key, value in cost_fields(shared).items():
        frame.loc[where, CONDITION + key] = value
    frame.loc[where, "cost_fingerprint"] = "0badcafe"
    text = " ".join(notes(frame, summarise(frame)))
    assert "[a] devices 1, strategy none: everything, small-2, small-8" in text
    assert "[b] devices 2, strategy fsdp: top" in text


@pytest.mark.parametrize(
    ("key", "usual", "other"), [("weights", "fp32", "bf16"), ("dropout_scope", "all", "trained")]
)
def test_a_key_of_newer_runs_is_a_condition_of_the_score(
    key: str, usual: str, other: str, plan: Plan, runs: Path
) -> None:
    """A record from before there was such a key has what is usual."""
    plain = Result.read(runs / run_of("letters", "top", 2) / RESULT_FILE)
    training = plain.spec.training.model_copy(update={key: other})
    held = plain.model_copy(update={"spec": plain.spec.model_copy(update={"training": training})})
    assert fingerprint_fields(held) == fingerprint_fields(plain) | {key: other}
    frame = collect(plan, runs)
    where = (frame["variant"] == "top") & (frame["task"] == "letters")
    frame.loc[where, COMPARABLE + key] = other
    frame.loc[where, "fingerprint"] = "0badcafe"
    parts = [part for part in split_by_fingerprint(frame) if part.task == "letters"]
    assert {part.difference for part in parts} == {f"{key} = {usual}", f"{key} = {other}"}


def test_the_settings_of_an_evaluation_are_conditions_of_the_score(runs: Path) -> None:
    one = Result.read(runs / run_of("letters", "top", 0) / RESULT_FILE)

    def fields(**training: Any) -> tuple[dict[str, str | None], dict[str, str | None]]:
        own = one.spec.training.model_copy(update=training)
        made = one.model_copy(update={"spec": one.spec.model_copy(update={"training": own})})
        return fingerprint_fields(made), cost_fields(made)

    scores, costs = fields()
    assert fields(checkpoint="last") == (scores | {"checkpoint": "last"}, costs)
    assert fields(evaluations=7) == (scores | {"evaluations": "7"}, costs)
    # with padding masked, no prediction depends on the others of its batch
    assert fields(evaluation_batch_size=7) == (scores, costs | {"evaluation_batch_size": "7"})
    assert fields(batch_size=4) == (scores, costs | {"batch_size": "4", "micro_batch_size": "4"})


@pytest.mark.parametrize(("state", "parts"), [("failed", 2), ("oom", 3)])
def test_a_failed_run_splits_nothing_for_it_may_not_know_its_model(
    state: str, parts: int, plan: Plan, runs: Path
) -> None:
    def end(record: dict[str, Any]) -> None:
        record.update(state=state, reason="it ended")
        record["provenance"]["model_sha256"] = "0" * 64

    rewrite(runs / run_of("letters", "top", 2) / RESULT_FILE, end)
    assert len(split_by_fingerprint(collect(plan, runs))) == parts


@pytest.mark.parametrize("state", ["diverged", "undefined"])
def test_a_run_without_a_score_is_counted_and_not_averaged(
    state: str, plan: Plan, runs: Path
) -> None:
    rewrite(
        runs / run_of("letters", "top", 2) / RESULT_FILE,
        lambda record: record.update(state=state, reason="why"),
    )
    summary = summarise(collect(plan, runs))
    row = summary.query("task == 'letters' and variant == 'top'").iloc[0]
    assert row["test_score_mean"] == pytest.approx(0.705)
    assert row["state"] == f"{state} 1 of 3"
    assert row[f"runs_{state}"] == 1
