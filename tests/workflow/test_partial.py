"""Tables and plots of the records that exist: what the pipeline then asks for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.problems import ConfigurationError
from finegrid.records.result import FAILURE_FILE, RESULT_FILE
from workflow.pipeline import Pipeline

Plan = Callable[..., Pipeline]


@pytest.fixture
def plan(small: dict[str, Any], tmp_path: Path) -> Plan:
    """The pipeline of the small benchmark, with further keys of a configuration."""
    return lambda **keys: Pipeline.plan_from(small | {"results": str(tmp_path)} | keys)


def record(pipeline: Pipeline, number: int, name: str = RESULT_FILE) -> str:
    """Write an empty record of a run; its path."""
    run = list(pipeline.runs)[number]
    path = Path(pipeline.results) / "runs" / run / name
    path.parent.mkdir(parents=True)
    path.touch()
    return str(path)


def test_without_it_every_result_is_demanded(plan: Plan) -> None:
    pipeline = plan()
    record(pipeline, 0)
    assert len(pipeline.results_of_runs) == len(pipeline.runs) == 6


@pytest.mark.parametrize("said", [True, "true", "True"])
def test_with_it_only_what_is_there_is_asked_for(plan: Plan, said: object) -> None:
    pipeline = plan()
    there = [record(pipeline, 0), record(pipeline, 3, FAILURE_FILE)]
    assert plan(allow_partial=said).results_of_runs == there


@pytest.mark.parametrize("said", [False, "false"])
def test_it_can_be_refused(plan: Plan, said: object) -> None:
    assert len(plan(allow_partial=said).results_of_runs) == 6


@pytest.mark.parametrize("said", ["maybe", 1, None])
def test_anything_else_is_an_error(plan: Plan, said: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan(allow_partial=said)
    (problem,) = caught.value.problems
    assert problem.startswith("allow_partial: ")
    assert problem.endswith("is not allowed; allowed: true, false")


def test_where_nothing_is_recorded_it_says_so(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"none of the 6 runs .* below {tmp_path}/runs"):
        plan(allow_partial=True)


def test_the_command_line_says_so_too(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["reproduce", "smoke", "--results", str(tmp_path), "--allow-partial"]
    )
    assert done.exit_code == EXIT_CONFIGURATION
    assert "allow_partial: none of the 10 runs has a record" in done.stderr
