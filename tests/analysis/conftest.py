"""The synthetic benchmark, made once, and its tables."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis.collect import collect, ledger
from analysis.comparisons.pairs import pair_rows
from finegrid.records.plan import Plan
from tests.analysis.benchmark import fill, make_plan
from tests.analysis.tuned import fill_tuned, make_tuned_plan


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan()


@pytest.fixture(scope="session")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of the plan; tests that change it take `runs`."""
    folder = tmp_path_factory.mktemp("finished")
    fill(plan, folder)
    return folder


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    """A copy of the runs folder, free to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "runs"))


@pytest.fixture(scope="session")
def table(plan: Plan, finished: Path) -> Any:
    """The runs table of the finished benchmark."""
    return collect(plan, finished)


@pytest.fixture(scope="session")
def pairs_table(table: Any, finished: Path) -> Any:
    """The rows of all pairs of the finished benchmark, to be read."""
    return pair_rows(table, finished)


@pytest.fixture(scope="session")
def tuned_plan() -> Plan:
    return make_tuned_plan()


@pytest.fixture(scope="session")
def tuned_runs(tuned_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of the tuned plan."""
    folder = tmp_path_factory.mktemp("tuned")
    fill_tuned(tuned_plan, folder)
    return folder


@pytest.fixture(scope="session")
def tuned_table(tuned_plan: Plan, tuned_runs: Path) -> Any:
    """The runs table of the tuned benchmark."""
    return collect(tuned_plan, tuned_runs)


@pytest.fixture(scope="session")
def trials(tuned_plan: Plan, tuned_runs: Path) -> Any:
    """The trials table of the tuned benchmark."""
    return ledger(tuned_plan, tuned_runs)
