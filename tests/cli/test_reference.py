"""The committed reference: what the code writes from the committed records."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis.claims.evidence import Evidence
from analysis.claims.page import page
from analysis.claims.verdicts import claims_frame
from analysis.collect import collect, ledger
from analysis.frame import read_pairs, read_runs, write_table
from analysis.tables import write_tables
from finegrid.cli.reference import MissingResultError, publish, show, with_table
from finegrid.records.plan import Plan
from finegrid.records.result import PREDICTIONS_FILE, RESULT_FILE, Result

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
NAME = "default"
COUNTS = {
    "default": (80, 48),
    "article": (117, 117),
    "article-programs": (36, 0),
    "language": (24, 21),
}
"""Benchmark -> runs and planned trials."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan.read(REFERENCE / "plans" / f"{NAME}.json")


@pytest.fixture(scope="module", params=COUNTS)
def published(request: pytest.FixtureRequest) -> Plan:
    return Plan.read(REFERENCE / "plans" / f"{request.param}.json")


@pytest.fixture(scope="module")
def runs_table(published: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(published.benchmark) / f"{published.benchmark}-runs.csv"
    write_table(collect(published, REFERENCE / "runs"), path)
    return path


def committed(published: Plan, ending: str) -> str:
    return (REFERENCE / "tables" / f"{published.benchmark}{ending}").read_text()


def test_the_reference_holds_the_records_of_its_plans_and_no_others() -> None:
    """Every run, and every trial that a run's ledger names, the planned ones among them."""
    plans = [Plan.read(path) for path in REFERENCE.glob("plans/*.json")]
    assert {plan.benchmark for plan in plans} == set(COUNTS)
    trials = {run for plan in plans for run in ledger(plan, REFERENCE / "runs")["run"]}
    recorded = {path.parent.name for path in REFERENCE.glob("runs/*/result.json")}
    assert recorded == trials.union(*(plan.runs for plan in plans))


def test_every_planned_trial_was_spent(published: Plan) -> None:
    assert set(ledger(published, REFERENCE / "runs")["run"]) >= set(published.trials)
    assert (len(published.runs), len(published.trials)) == COUNTS[published.benchmark]


def test_the_trials_are_those_of_their_own_records(published: Plan) -> None:
    for row in ledger(published, REFERENCE / "runs").itertuples():
        result = Result.read(REFERENCE / "runs" / str(row.run) / RESULT_FILE)
        assert result.metrics is not None
        assert result.metrics.validation[result.metrics.selector].value == row.score
        assert result.spec.role == "trial"


def test_the_table_of_trials_is_what_the_code_writes(published: Plan, tmp_path: Path) -> None:
    if not published.trials:
        assert not (REFERENCE / "tables" / f"{published.benchmark}-tuning.csv").exists()
        return
    write_table(ledger(published, REFERENCE / "runs"), tmp_path / "trials.csv")
    assert (tmp_path / "trials.csv").read_text() == committed(published, "-tuning.csv")


@pytest.mark.parametrize("ending", ["-runs.csv", ".csv", ".md", ".tex"])
def test_the_tables_are_what_the_code_writes(
    published: Plan, runs_table: Path, ending: str
) -> None:
    pairs = read_pairs(REFERENCE / "tables" / f"{published.benchmark}-pairs.csv")
    write_tables(read_runs(runs_table), runs_table.with_name(published.benchmark), pairs)
    written = runs_table.with_name(f"{published.benchmark}{ending}")
    assert written.read_text() == committed(published, ending)


@pytest.mark.thorough("test_the_tables_are_what_the_code_writes")
def test_the_claims_are_what_the_code_decides(published: Plan, runs_table: Path) -> None:
    if published.claims is None:
        assert not list(REFERENCE.glob(f"tables/{published.benchmark}-claims*"))
        return
    evidence = Evidence(published, read_runs(runs_table), REFERENCE / "runs")
    claims = published.claims.hypotheses
    rows = claims_frame(claims, evidence)
    table = REFERENCE / "tables" / str(published.claims_table)
    claims_file = runs_table.with_name("claims.csv")
    write_table(rows, claims_file)
    # Processors differ in the last digits of a fit.
    found, there = (pd.read_csv(path.with_suffix(".csv")) for path in (claims_file, table))
    pd.testing.assert_frame_equal(found, there, rtol=1e-9)
    text = page(published.benchmark, claims, rows, evidence)
    assert text == table.with_suffix(".md").read_text()


@pytest.mark.parametrize("name", [NAME, "language"])
def test_the_readme_shows_the_reference(tmp_path: Path, name: str) -> None:
    shown = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", shown)
    show(name, REFERENCE, shown)
    assert shown.read_text() == (ROOT / "README.md").read_text()


def test_a_table_takes_the_place_of_the_old_one() -> None:
    other = "<!-- two: start -->\nkept\n<!-- two: end -->\n"
    before = f"a\n<!-- one: start -->\nold \\1\n<!-- one: end -->\n{other}"
    assert with_table(before, "one", "| \\1 new |\n") == before.replace("old \\1", "| \\1 new |")


def test_gaps_are_not_published(tmp_path: Path, plan: Plan) -> None:
    plan.write(tmp_path / "results" / "plans" / f"{NAME}.json")
    with pytest.raises(MissingResultError, match="80 runs have no record"):
        publish(NAME, [], tmp_path / "results", tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_what_no_plan_names_is_removed_and_all_else_kept(tmp_path: Path, plan: Plan) -> None:
    before = tmp_path / "reference"
    for folder in ("plans", "runs"):
        shutil.copytree(REFERENCE / folder, before / folder)
    shutil.copytree(before / "runs" / next(iter(plan.runs)), before / "runs" / "of-an-older-plan")
    table = REFERENCE / "tables" / f"{NAME}.md"
    written = publish(NAME, [table], REFERENCE, before)
    assert {path.name for path in (before / "runs").iterdir()} == {
        path.name for path in (REFERENCE / "runs").iterdir()
    }
    assert before / "tables" / table.name in written
    assert (before / "tables" / table.name).read_text() == table.read_text()


def test_the_readme_gets_the_short_table(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    before = "a\n<!-- default: start -->\nold\n<!-- default: end -->\n"
    readme.write_text(before)
    show(NAME, REFERENCE, readme)
    text = readme.read_text()
    record = Result.read(next(REFERENCE.glob("runs/movie-reviews-minilm-l6-full-s0-*/result.json")))
    assert record.parameters is not None
    (row,) = [line for line in text.splitlines() if f" {record.parameters.trainable:,} " in line]
    assert row.startswith("| full ")
    assert "old" not in text.splitlines()
    assert text.endswith("<!-- default: end -->\n")


def test_published_predictions_are_those_of_their_records() -> None:
    folders = [path.parent for path in REFERENCE.glob(f"runs/*/{PREDICTIONS_FILE}")]
    damaged = [
        Result.read(folder / RESULT_FILE).damaged_files(folder, [PREDICTIONS_FILE])
        for folder in folders
    ]
    assert len(folders) == COUNTS["language"][0]
    assert [one for one in damaged if one] == []
