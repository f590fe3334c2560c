"""The commands that list what there is, and the one that starts a method."""

import dataclasses
import getpass
import io
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Never

import pytest
from pydantic import Field
from rich.console import Console
from snakemake.cli import parse_args
from typer.testing import CliRunner

from analysis.columns import SHORT_COLUMNS
from finegrid.cli import benchmarks, listing, results, terminal
from finegrid.cli.main import app
from finegrid.cli.shared import EXIT_CONFIGURATION
from finegrid.metrics.registry import METRICS
from finegrid.records.registry import Registry
from finegrid.records.result import PREDICTIONS_FILE, Result
from kinds.registry import KINDS
from methods.registry import METHODS
from tasks.registry import TASKS
from tests.training.assets import Assets
from tests.warm.start import warm_python
from workflow.pipeline import Pipeline
from workflow.surroundings import name_user

REPOSITORY = Path(__file__).parents[2]
COPIED = (
    "finegrid",
    "methods",
    "kinds",
    "tasks",
    "analysis",
    "workflow",
    "tests/methods",
)
REGISTRIES: dict[str, Registry[Any]] = {
    "methods": METHODS,
    "tasks": TASKS,
    "metrics": METRICS,
    "kinds": KINDS,
}


def printed(*arguments: str) -> Any:
    """What a command prints as JSON."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", REGISTRIES)
def test_everything_that_is_registered_is_listed(command: str) -> None:
    registry = REGISTRIES[command]
    listed = printed(command)
    assert [entry["name"] for entry in listed] == list(registry)
    for entry in listed:
        fields = [field.name for field in dataclasses.fields(registry.get(entry["name"]))]
        assert [setting["name"] for setting in entry["settings"]] == fields
        assert entry["summary"]
        assert (command != "methods") == (entry["paper"] is None)
        assert (REPOSITORY / entry["origin"]).is_file()


def test_a_method_is_listed_as_its_file_has_it() -> None:
    (lora,) = [entry for entry in printed("methods") if entry["name"] == "lora"]
    lines = {one["name"]: (one["type"], one["default"], one["allowed"]) for one in lora["settings"]}
    assert lora["origin"] == "methods/lora.py"
    assert lora["paper"] == "Hu et al. 2021, arXiv:2106.09685"
    assert lora["groups"] == ["A", "B"]
    assert lines == {
        "rank": ("integer", 8, ">= 1"),
        "alpha": ("number", 16.0, "> 0"),
        "dropout": ("number", 0.0, ">= 0, < 1"),
        "rank_stabilised": ("boolean", False, ""),
        "targets": ("list of strings", ["q", "v"], "at least 1"),
        "freeze_a": ("boolean", False, ""),
    }


@pytest.mark.parametrize(
    ("default", "shown"), [("none", "none"), ("{prompt}\nA: ", r'"{prompt}\nA: "'), (None, "null")]
)
def test_a_default_of_several_lines_is_shown_in_one(default: str | None, shown: str) -> None:
    setting = listing.Setting("template", "string", False, default, allowed="")
    assert str(setting) == f"template: string = {shown}"


class Colour(Enum):
    """Values of a setting."""

    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass(frozen=True)
class Widget:
    """Settings of every kind."""

    size: int
    colours: tuple[Colour, ...] = (Colour.RED,)
    limit: Annotated[float, Field(ge=0, le=1)] | None = None
    parts: dict[str, int] = dataclasses.field(default_factory=dict)


def test_every_kind_of_setting_can_be_shown() -> None:
    registry: Registry[Any] = Registry("widget", object, "tests.methods")
    registry._loaded = True
    registry.register("widget")(Widget)
    (entry,) = listing.entries(registry)
    assert [(str(setting), setting.allowed) for setting in entry.settings] == [
        ("size: integer", ""),
        ('colours: list of strings = ["red"]', "each red | blue"),
        ("limit: number or null = null", ">= 0, <= 1"),
        ("parts: object = {}", ""),
    ]


@pytest.mark.parametrize("command", REGISTRIES)
def test_the_list_fits_a_terminal_of_80_columns(command: str) -> None:
    stream = io.StringIO()
    listed = listing.entries(REGISTRIES[command])
    for block in listing.blocks(listed):
        Console(file=stream, width=80).print(block)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in stream.getvalue()
    for entry in listed:
        assert f"{entry.name}  {entry.origin}" in lines
        starts = [f"  {setting.name}: {setting.type}"[:40] for setting in entry.settings]
        assert [start for start in starts if not any(li.startswith(start) for li in lines)] == []


@pytest.fixture
def two_runs(assets: Assets, tmp_path: Path, quiet_process: None) -> list[Result]:
    """Two finished runs below `results`."""
    specs = [assets.specification("full"), assets.specification("head", seed=1)]
    return [assets.run(spec, tmp_path / "results") for spec in specs]


def test_two_runs_are_compared_by_the_beginnings_of_their_names(
    two_runs: list[Result], tmp_path: Path
) -> None:
    left, right = two_runs
    results = ["--results", str(tmp_path / "results")]
    command = ["compare", left.run[:-3], str(tmp_path / "results" / "runs" / right.run), *results]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[:2] == [f"left {left.run}", f"right {right.run}"]
    assert [line for line in lines if line.startswith(("seed", "variant."))] == [
        "seed 0 1",
        'variant.method "full" "head"',
        'variant.name "full" "head"',
    ]
    for kind in ("scores", "memory and time"):
        assert f"conditions of {kind}: no difference" in lines
    assert lines[-1] == "comparable"
    (test,) = [line for line in lines if line.startswith("test accuracy")]
    assert [float(value) for value in re.findall(r"accuracy (\S+) \(n=24\)", test)] == [
        round(result.metrics.test["accuracy"].value, 4) for result in two_runs if result.metrics
    ]


def test_an_unknown_run_is_one_line(two_runs: list[Result], tmp_path: Path) -> None:
    results = ["--results", str(tmp_path / "results")]
    done = CliRunner().invoke(app, ["compare", "imagse-network-full", two_runs[0].run, *results])
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert f"did you mean {two_runs[0].run} or " in done.stderr


def test_scores_are_computed_again_and_a_disagreement_is_an_error(
    two_runs: list[Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = {result.run: result.spec for result in two_runs} | {"not-yet-run": None}
    monkeypatch.setattr(results, "pipeline_of", lambda *_: SimpleNamespace(jobs=planned))

    def rescore() -> tuple[int, list[str]]:
        done = CliRunner().invoke(app, ["rescore", "--results", str(tmp_path / "results")])
        return done.exit_code, done.stdout.splitlines()

    summary = "4 scores of 2 runs computed again, {} runs disagree; 1 planned runs have no record"
    assert rescore() == (0, [summary.format(0)])
    folder = tmp_path / "results" / "runs" / two_runs[1].run
    (folder / PREDICTIONS_FILE).unlink()
    assert rescore() == (
        1,
        [
            f"{two_runs[1].run}: predictions.parquet is missing",
            summary.format(1).replace("4 scores", "2 scores"),
        ],
    )


def test_where_nothing_was_scored_rescore_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        results, "pipeline_of", lambda *_: SimpleNamespace(jobs={"not-yet-run": None})
    )
    done = CliRunner().invoke(app, ["rescore", "--results", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stdout.startswith("0 scores of 0 runs computed again")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lora", "method 'lora' exists already, in methods/lora.py"),
        ("contract", "contract.py exists already"),
        ("Gain", 'name: "Gain" is not allowed; allowed: a-z, 0-9'),
        ("../gain", "letter or digit first"),
        ("a.b", "what Python can import"),
        ("3d", "what Python can import"),
        ("class", "what Python can import"),
    ],
)
def test_a_name_that_cannot_be_a_new_method_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "contract.py").touch()
    done = CliRunner().invoke(app, ["new-method", name, "--directory", str(tmp_path)])
    assert done.exit_code == EXIT_CONFIGURATION
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["contract.py"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the source, as a place for new files."""
    for room in COPIED:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / room, tmp_path / room, ignore=ignore)
    for file in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(REPOSITORY / file, tmp_path / file)
    return tmp_path


Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def python(copy: Path) -> Python:
    """A module of the copy, in its folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with warm_python():
            return subprocess.run(
                [sys.executable, "-m", *arguments],
                cwd=copy,
                env=os.environ | {"PYTHONPATH": str(copy)},
                capture_output=True,
                text=True,
                check=False,
            )

    return run


def test_a_new_method_is_clean_and_listed(copy: Path, python: Python) -> None:
    done = python("finegrid.cli.main", "new-method", "gain-only")
    assert done.returncode == 0, done.stderr
    file = copy / "methods" / "gain_only.py"
    assert "TODO" in file.read_text()
    for named in re.findall(r"^  (\S+\.py):", done.stdout, re.MULTILINE):
        assert (copy / named).is_file()
    for command in (["check"], ["format", "--check"]):
        style = python("ruff", *command, "--no-cache", str(file))
        assert style.returncode == 0, style.stdout
    assert "gain-only  methods/gain_only.py" in python("finegrid.cli.main", "methods").stdout


@pytest.mark.thorough("test_a_new_method_is_clean_and_listed")
def test_a_new_method_fails_its_tests_until_it_is_filled_in(python: Python) -> None:
    done = python("finegrid.cli.main", "new-method", "gain-only")
    shown = re.search(r"python -m (pytest .*)$", done.stdout, re.MULTILINE)
    assert shown is not None
    tests = python(*shown[1].split(), "--maxfail", "3", "-p", "no:cacheprovider")
    assert tests.returncode == 1, tests.stdout
    assert "3 failed" in tests.stdout
    assert "NotImplementedError: TODO" in tests.stdout


def test_reproduce_takes_no_profile_of_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that reruns by the times of files alone would keep a result though its method changed."""
    profile = tmp_path / "profile" / "config.yaml"
    profile.parent.mkdir()
    profile.write_text("rerun-triggers: mtime\nkeep-going: true\nconfig: [results=elsewhere]\n")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(profile.parent))
    monkeypatch.chdir(tmp_path)
    triggers = []
    for command in (
        benchmarks._snakemake("smoke", "1", Pipeline.plan_from({"benchmark": "smoke"})),
        [""] * 3,
    ):
        _, options = parse_args(command[3:])
        triggers.append(options.rerun_triggers)
    without, with_profile = triggers
    assert with_profile != without
    assert "code" in map(str, without)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("WANDB_MODE", "nonsense", "WANDB_MODE: 'nonsense' is not allowed; allowed: offline"),
        ("HOME", "/dev/null", "set HOME to a folder that can be written"),
    ],
)
def test_reproduce_says_in_one_line_what_to_set(
    variable: str, value: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, value)
    done = CliRunner().invoke(app, ["reproduce", "smoke", "--results", str(tmp_path / "out")])
    assert done.exit_code == EXIT_CONFIGURATION
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_user_without_a_name_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    known = getpass.getuser()
    name_user()
    assert "LOGNAME" not in os.environ

    def nobody(number: int) -> Never:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setenv("LOGNAME", "")  # so that it is taken back after the test
    name_user()
    assert getpass.getuser() == f"user-{os.getuid()}" != known


def test_a_narrow_terminal_breaks_the_short_table_and_cuts_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    headers = [column.header for column in SHORT_COLUMNS]
    numbers = ["12,345,678", "3.33e-2", "0.806 ± 0.039", "-0.041, +0.002", "511.6 MB", "63.8 s"]
    file = io.StringIO()
    monkeypatch.setattr(terminal, "CONSOLE", Console(width=80, file=file))
    terminal.print_table("title", headers, [["lg-literal-r128", *numbers, "ok"]], whole=headers[:3])
    printed = set(file.getvalue().split())
    assert {part for number in numbers for part in number.split()} <= printed
