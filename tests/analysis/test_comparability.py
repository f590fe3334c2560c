"""Runs of different fingerprints never meet in one number."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.collect import collect
from analysis.comparability import fingerprint, fingerprint_fields, split_by_fingerprint
from analysis.frame import COMPARABLE
from analysis.notes import notes
from analysis.summary import summarise
from records.plan import Plan
from records.result import RESULT_FILE, Result
from tests.analysis.benchmark import rewrite, run_of
from tests.analysis.shown import written


def more_threads(record: dict[str, Any]) -> None:
    record["provenance"]["threads"] = 8


def newer_torch(record: dict[str, Any]) -> None:
    record["provenance"]["packages"]["torch"] = "2.11"


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
        (more_threads, "threads", ["1", "8"]),
        (newer_torch, "torch", ["2.10", "2.11"]),
        (smaller_micro_batches, "micro_batch_size", ["16", "4"]),
    ],
)
def test_two_fingerprints_split_the_group_and_name_the_key(
    edit: Callable[[dict[str, Any]], None],
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
    assert "letters · tiny is split: its runs are not comparable." in text


def test_no_mean_crosses_fingerprints(plan: Plan, runs: Path) -> None:
    rewrite(runs / run_of("letters", "top", 2) / RESULT_FILE, more_threads)
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
        rewrite(runs / run_of("letters", "top", seed) / RESULT_FILE, more_threads)
    (runs / run_of("letters", "top", 2) / RESULT_FILE).unlink()
    summary = summarise(collect(plan, runs))
    rows = summary[(summary["task"] == "letters") & (summary["variant"] == "top")]
    assert list(rows["state"]) == ["missing 1 of 3"]
    assert list(rows["difference"]) == ["threads = 8"]


def test_a_run_that_devices_share_is_compared_with_none_of_one(plan: Plan, runs: Path) -> None:
    folder = runs / run_of("letters", "top", 2)
    alone = Result.read(folder / RESULT_FILE)
    training = alone.spec.training.model_copy(update={"devices": 2, "strategy": "fsdp"})
    spec = alone.spec.model_copy(update={"training": training})
    fields = fingerprint_fields(alone.model_copy(update={"spec": spec}))
    assert fields == fingerprint_fields(alone) | {"devices": "2", "strategy": "fsdp"}
    frame = collect(plan, runs)
    where = frame["run"] == alone.run
    for key in ("devices", "strategy"):
        frame.loc[where, COMPARABLE + key] = fields[key]
    frame.loc[where, "fingerprint"] = fingerprint(fields)
    rows = frame[frame["task"] == "letters"]
    assert [part.difference for part in split_by_fingerprint(rows)] == [
        "devices = 1, strategy = none",
        "devices = 2, strategy = fsdp",
    ]
    text = " ".join(notes(frame, summarise(frame)))
    assert "devices = 1, strategy = none" in text
    assert "devices none" not in text


@pytest.mark.parametrize(("state", "parts"), [("failed", 2), ("oom", 3)])
def test_a_failed_run_splits_nothing_for_it_may_not_know_its_model(
    state: str, parts: int, plan: Plan, runs: Path
) -> None:
    def end(record: dict[str, Any]) -> None:
        record.update(state=state, reason="it ended")
        record["provenance"]["model_sha256"] = "0" * 64

    rewrite(runs / run_of("letters", "top", 2) / RESULT_FILE, end)
    assert len(split_by_fingerprint(collect(plan, runs))) == parts


def test_scores_of_a_run_that_diverged_are_not_averaged(plan: Plan, runs: Path) -> None:
    rewrite(
        runs / run_of("letters", "top", 2) / RESULT_FILE,
        lambda record: record.update(state="diverged", reason="loss is not finite"),
    )
    summary = summarise(collect(plan, runs))
    row = summary.query("task == 'letters' and variant == 'top'").iloc[0]
    assert row["test_score_mean"] == pytest.approx(0.705)
    assert row["state"] == "diverged 1 of 3"
