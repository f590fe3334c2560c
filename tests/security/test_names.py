"""Names that become paths: none leads out of its folder, none is run, each is one clear error."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.planning.plan import make_plan
from finegrid.planning.schema import Benchmark
from finegrid.problems import ConfigurationError
from finegrid.records.base import NAME_PATTERN
from finegrid.records.plan import Plan
from finegrid.records.specification import Specification
from tests.security.hostile import NAMES
from tests.small import SMALL
from workflow.pipeline import Pipeline

EXPECTED = {"name": "name", "tasks": "tasks.", "models": "models.", "variants": "grids[0].variants"}
SAFE_FOLDERS = (
    *("parent", "two parents", "absolute", "home", "slash", "dot", "two dots", "hidden"),
    *("space", "cyrillic", "full width", "upper case", "long"),
)
"""A folder of results may be anywhere, and in any script, if its path is plain text."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder two levels down, so that what leads out of it is seen."""
    folder = tmp_path / "above" / "work"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def finegrid(*arguments: str) -> tuple[int, list[str]]:
    """Exit code and error lines of the command."""
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr.splitlines()


def named(kind: str, name: str) -> dict[str, Any]:
    """A right benchmark, but for one name."""
    content = copy.deepcopy(SMALL)
    if kind == "name":
        return content | {"name": name}
    holder = content["grids"][0] if kind == "variants" else content
    holder[kind][name] = next(iter(holder[kind].values()))
    return content


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_name_in_a_file_is_one_error(place: Path, kind: str, name: str) -> None:
    (place / "b.yaml").write_text(yaml.safe_dump(named(kind, name)), encoding="utf-8")
    before = tree(place.parents[1])
    code, lines = finegrid("check", "b.yaml")
    assert code == EXIT_CONFIGURATION
    assert len(lines) == 2, lines
    assert lines[0] == "the benchmark has 1 problem:"
    assert lines[1].strip().startswith(EXPECTED[kind])
    assert lines[1].isprintable()
    assert tree(place.parents[1]) == before


@pytest.mark.parametrize("suffix", ["", ".yaml"])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_name_of_a_benchmark_is_one_error(place: Path, name: str, suffix: str) -> None:
    before = tree(place.parents[1])
    code, lines = finegrid("check", "--", name + suffix)
    assert code == EXIT_CONFIGURATION
    assert len(lines) == 2, lines
    assert all(line.isprintable() for line in lines)
    assert tree(place.parents[1]) == before


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_folder_of_results_is_plain_text_or_one_error(place: Path, name: str) -> None:
    config = {"benchmark": "smoke", "results": name}
    if name in {NAMES[key] for key in SAFE_FOLDERS}:
        assert Pipeline.plan_from(config).results == name
        return
    with pytest.raises(ConfigurationError, match=r"results: .* allowed: the path of a folder"):
        Pipeline.plan_from(config)
    # No argument of a process holds a NUL, and an empty one is the path of the working folder.
    if name and "\0" not in name:
        code, lines = finegrid("reproduce", "smoke", f"--results={name}")
        assert (code, len(lines)) == (EXIT_CONFIGURATION, 2), lines
    assert tree(place.parents[1]) == {"above", "above/work"}


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The plan of a right benchmark."""
    return make_plan(Benchmark.model_validate_json(json.dumps(SMALL)))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_specification_starts_no_run(place: Path, plan: Plan, name: str) -> None:
    from finegrid.training.run import main

    for part in ("task", "model", "variant"):
        plain = next(iter(plan.runs.values())).model_dump(mode="json")
        plain[part]["name"] = name
        (place / "spec.json").write_text(json.dumps(plain))
        assert main(["--spec", "spec.json", "--results", "results"]) == os.EX_CONFIG, part
        assert tree(place.parents[1]) == {"above", "above/work", "above/work/spec.json"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_plan_of_others_is_not_read(plan: Plan, name: str) -> None:
    """A plan lies in the folder of results, and `finegrid publish` copies the runs it names."""
    plain = plan.model_dump(mode="json")
    runs = plain["cells"][0]["runs"]
    runs[name] = runs.pop(next(iter(runs)))
    with pytest.raises(ValueError, match="String should match pattern"):
        Plan.model_validate_json(json.dumps(plain))
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_all_that_becomes_a_path_is_held_by_one_pattern() -> None:
    schema = Specification.model_json_schema()
    kinds = ("Task", "Checkpoint", "RandomModel", "Network", "Variant")
    patterns = {kind: schema["$defs"][kind]["properties"]["name"]["pattern"] for kind in kinds}
    assert patterns == dict.fromkeys(kinds, NAME_PATTERN)
    assert Plan.model_json_schema()["properties"]["benchmark"]["pattern"] == NAME_PATTERN
