"""The committed reference: what the code writes from the committed records."""

import shutil
from pathlib import Path

import pytest

from analysis.collect import collect, ledger
from analysis.frame import read_runs, write_table
from analysis.tables import write_tables
from records.plan import Plan
from records.result import RESULT_FILE, Result
from workflow.reference import MissingResultError, publish, show, with_table

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
NAME = "default"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan.read(REFERENCE / "plans" / f"{NAME}.json")


def test_the_reference_is_complete(plan: Plan) -> None:
    """Every run, and every trial that a run's ledger names, the planned ones among them."""
    recorded = {path.parent.name for path in REFERENCE.glob("runs/*/result.json")}
    trials = set(ledger(plan, REFERENCE / "runs")["run"])
    assert recorded == set(plan.runs) | trials
    assert trials >= set(plan.trials)
    assert (len(plan.runs), len(plan.trials)) == (48, 48)


def test_the_trials_are_those_of_their_own_records(plan: Plan) -> None:
    for row in ledger(plan, REFERENCE / "runs").itertuples():
        result = Result.read(REFERENCE / "runs" / str(row.run) / RESULT_FILE)
        assert result.metrics is not None
        assert result.metrics.validation[result.metrics.primary].value == row.score
        assert result.spec.role == "trial"


def test_the_table_of_trials_is_what_the_code_writes(plan: Plan, tmp_path: Path) -> None:
    write_table(ledger(plan, REFERENCE / "runs"), tmp_path / "trials.csv")
    committed = (REFERENCE / "tables" / f"{NAME}-tuning.csv").read_text()
    assert (tmp_path / "trials.csv").read_text() == committed


@pytest.mark.parametrize("ending", ["-runs.csv", ".csv", ".md", ".tex"])
def test_the_tables_are_what_the_code_writes(plan: Plan, tmp_path: Path, ending: str) -> None:
    write_table(collect(plan, REFERENCE / "runs"), tmp_path / f"{NAME}-runs.csv")
    write_tables(read_runs(tmp_path / f"{NAME}-runs.csv"), tmp_path / NAME)
    committed = (REFERENCE / "tables" / f"{NAME}{ending}").read_text()
    assert (tmp_path / f"{NAME}{ending}").read_text() == committed


def test_the_readme_shows_the_reference() -> None:
    readme = (ROOT / "README.md").read_text()
    table = (REFERENCE / "tables" / f"{NAME}.md").read_text()
    assert table.strip() in readme
    assert with_table(readme, table) == readme


def test_a_table_takes_the_place_of_the_old_one() -> None:
    before = "a\n<!-- table: start -->\nold \\1\n<!-- table: end -->\nb\n"
    assert with_table(before, "| \\1 new |\n") == before.replace("old \\1", "| \\1 new |")


def test_gaps_are_not_published(tmp_path: Path, plan: Plan) -> None:
    plan.write(tmp_path / "results" / "plans" / f"{NAME}.json")
    with pytest.raises(MissingResultError, match="48 runs have no record"):
        publish(NAME, [], tmp_path / "results", tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_what_no_plan_names_is_removed_and_all_else_kept(tmp_path: Path, plan: Plan) -> None:
    before = tmp_path / "reference"
    shutil.copytree(REFERENCE / "runs", before / "runs")
    shutil.copytree(before / "runs" / next(iter(plan.runs)), before / "runs" / "of-an-older-plan")
    table = REFERENCE / "tables" / f"{NAME}.md"
    written = publish(NAME, [table], REFERENCE, before)
    assert {path.name for path in (before / "runs").iterdir()} == {
        path.name for path in (REFERENCE / "runs").iterdir()
    }
    assert before / "tables" / table.name in written
    assert (before / "tables" / table.name).read_text() == table.read_text()


def test_the_readme_gets_the_table_that_was_published(tmp_path: Path) -> None:
    readme, before = tmp_path / "README.md", "a\n<!-- table: start -->\nold\n<!-- table: end -->\n"
    readme.write_text(before)
    show(NAME, REFERENCE, readme)
    table = (REFERENCE / "tables" / f"{NAME}.md").read_text()
    assert readme.read_text() == with_table(before, table)
    assert table.strip() in readme.read_text()
