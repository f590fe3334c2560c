"""The runs table says what the records say, and nothing where they say nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.collect import collect
from analysis.errors import AnalysisError
from analysis.frame import read_runs, tidy, write_table
from finegrid.records.plan import Plan
from finegrid.records.result import FAILURE_FILE, RESULT_FILE
from tests.analysis.benchmark import rewrite, run_of
from tests.small import REPOSITORY
from tests.warm.start import warm_python


def row_of(table: pd.DataFrame, run: str) -> pd.Series:
    return table[table["run"] == run].iloc[0]


def test_rows_are_the_plan_in_its_order(plan: Plan, table: pd.DataFrame) -> None:
    assert list(table["run"].dropna()) == list(plan.runs)
    assert len(table) == len(plan.runs) + 2
    assert table["state"].value_counts().to_dict() == {
        "ok": 24,
        "oom": 2,
        "diverged": 2,
        "failed": 2,
        "not-applicable": 2,
    }


def test_figures_of_a_run(table: pd.DataFrame) -> None:
    row = row_of(table, run_of("letters", "small-8", 2))
    expected = {
        "metric": "accuracy",
        "test_score": 0.88,
        "n_test": 200,
        "test_score_f1": 0.44,
        "validation_score": 0.885,
        "n_validation": 100,
        "base_parameters": 1_000_000,
        "trainable_parameters": 24_000,
        "adapter_parameters": 23_500,
        "head_parameters": 500,
        "stored_bytes": 96_000,
        "gradients_bytes": 96_000,
        "optimizer_bytes": 192_000,
        "peak_training_bytes": 4_000_000 + 96_000 + 192_000 + 3_000_000 + 20_000,
        "train_seconds": 12.0,
        "examples_per_second": 120.0,
        "tokens_per_second": 2000.0,
        "step_median_seconds": 0.1,
        "learning_rate": 1e-3,
        "gradient_norm_maximum": 3.0,
        "setting_rank": 8,
        "comparable_torch": "2.10",
        "comparable_python": "3.11",
        "condition_batch_size": "16",
        "comparable_data_sha256": "a" * 64,
    }
    for name, value in expected.items():
        assert row[name] == (pytest.approx(value) if isinstance(value, float) else value), name


def test_only_scalar_settings_become_columns(table: pd.DataFrame) -> None:
    settings = {name for name in table.columns if name.startswith("setting_")}
    assert settings == {"setting_rank", "setting_scale", "setting_bias", "setting_shape"}


def test_missing_values_are_empty(table: pd.DataFrame) -> None:
    oom = row_of(table, run_of("letters", "bulky", 0))
    assert oom["reason"] == "it was oom <b>"
    absent = ["test_score", "n_test", "trainable_parameters", "peak_training_bytes", "steps"]
    assert oom[absent].isna().all()
    assert row_of(table, run_of("letters", "top", 0))[["setting_rank"]].isna().all()


def test_a_failure_is_read_where_there_is_no_result(table: pd.DataFrame) -> None:
    assert row_of(table, run_of("words", "bulky", 2))["state"] == "failed"


def test_a_result_goes_before_an_older_failure(plan: Plan, runs: Path) -> None:
    run, failed = run_of("letters", "top", 0), run_of("letters", "bulky", 2)
    (runs / run / FAILURE_FILE).write_bytes((runs / failed / FAILURE_FILE).read_bytes())
    assert row_of(collect(plan, runs), run)["state"] == "ok"


def test_a_cell_that_is_not_applicable_has_one_row(table: pd.DataFrame) -> None:
    rows = table[(table["variant"] == "unfit") & (table["task"] == "letters")]
    assert list(rows["state"]) == ["not-applicable"]
    assert rows["run"].isna().all()
    assert rows["reason"].item() == "needs attention <layers> & has none"


def test_a_deleted_result_is_missing(plan: Plan, runs: Path) -> None:
    run = run_of("letters", "top", 1)
    (runs / run / RESULT_FILE).unlink()
    row = row_of(collect(plan, runs), run)
    assert row["state"] == "missing"
    assert row["seed"] == 1
    assert pd.isna(row["test_score"])


def test_the_table_survives_its_file(table: pd.DataFrame, tmp_path: Path) -> None:
    write_table(table, tmp_path / "runs.csv")
    pd.testing.assert_frame_equal(read_runs(tmp_path / "runs.csv"), table)


def test_text_that_looks_like_a_number_stays_text() -> None:
    frame = tidy([{"task": "1e5", "model": "null", "fingerprint": "1234e567", "seed": 1}])
    assert frame.iloc[0].to_dict() == {
        "task": "1e5",
        "model": "null",
        "fingerprint": "1234e567",
        "seed": 1,
    }


def test_counts_beside_gaps_stay_whole() -> None:
    frame = tidy([{"stored_bytes": 2**53 + 1}, {"stored_bytes": None}])
    assert frame["stored_bytes"].iloc[0] == 2**53 + 1
    assert "9007199254740993\n" in frame.to_csv(index=False)


def spoil_seed(record: dict[str, Any]) -> None:
    record["spec"]["seed"] = 5


def spoil_metric(record: dict[str, Any]) -> None:
    record["metrics"]["primary"] = "recall"


@pytest.mark.parametrize("edit", [spoil_seed, spoil_metric, dict.clear])
def test_an_invalid_record_is_an_error_that_names_it(
    edit: Callable[[dict[str, Any]], None], plan: Plan, runs: Path
) -> None:
    path = runs / run_of("letters", "top", 0) / RESULT_FILE
    rewrite(path, edit)
    with pytest.raises(AnalysisError, match=str(path)):
        collect(plan, runs)


def test_a_record_of_another_run_is_an_error(plan: Plan, runs: Path) -> None:
    path = runs / run_of("letters", "top", 0) / RESULT_FILE
    path.write_bytes((runs / run_of("letters", "top", 1) / RESULT_FILE).read_bytes())
    with pytest.raises(AnalysisError, match=f"{path}.*not the plan's"):
        collect(plan, runs)


def test_a_failure_that_went_well_is_an_error(plan: Plan, runs: Path) -> None:
    folder = runs / run_of("letters", "top", 0)
    (folder / RESULT_FILE).rename(folder / FAILURE_FILE)
    with pytest.raises(AnalysisError, match="has state ok"):
        collect(plan, runs)


def test_a_folder_that_does_not_exist_is_an_error(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no such folder"):
        collect(plan, tmp_path / "runz")


def test_a_plan_without_cells_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="demo holds no cell"):
        collect(Plan(benchmark="demo", cells=()), tmp_path)


def test_a_file_that_is_no_runs_table_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("task,model\na,b\n")
    with pytest.raises(AnalysisError, match=r"other\.csv: not a runs table.* benchmark, variant"):
        read_runs(path)
    path.write_text("")
    with pytest.raises(AnalysisError, match=r"other\.csv: not a table"):
        read_runs(path)


def test_a_user_error_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"benchmark": "x"}')
    command = f"--plan {tmp_path}/plan.json --runs {tmp_path} --output {tmp_path}/runs.csv"
    with warm_python():
        ended = subprocess.run(
            [sys.executable, "-m", "analysis.collect", *command.split()],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == f"error: {tmp_path}/plan.json: cells: Field required\n"
    assert not (tmp_path / "runs.csv").exists()
