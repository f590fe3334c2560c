"""Kinds by their names: what is registered, what is refused, and what decides a run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finegrid.prepare.task import prepare_task
from finegrid.records import source
from finegrid.records.registry import UnknownNameError
from finegrid.records.source import run_digest
from finegrid.records.specification import Task
from kinds.registry import kind_named, modules
from tasks.given_points import GivenPoints
from tasks.registry import kind_of

ROOT = Path(__file__).parents[2]
Problems = Callable[[Any], list[str]]
PACKAGE = "finegrid_ranks"
CODE = '''"""Rows of numbers, of one class each."""
from dataclasses import dataclass

from finegrid import Kind
from kinds.inputs.features import Features
from kinds.outputs.classes import OneClass


@dataclass(frozen=True)
class TabularRanks(Kind):
    """Numbers of a row -> one class."""

    loader = None
    inputs = Features()
    output = OneClass()
'''
CHECK = """
from finegrid.records.source import run_digest
from kinds.registry import KINDS, kind_named, modules
assert kind_named("tabular-ranks").output.width(("a", "b")) == 2
assert KINDS.distributions("tabular-ranks") == ["finegrid-ranks"]
assert run_digest(*modules("tabular-ranks")) != run_digest()
"""
POINTS: dict[str, Any] = {"x": [[1], [2], [3]], "y": [1, 2, 3], "held_out": 0}


def test_an_unknown_kind_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown kind 'text-regresion': did you mean"):
        kind_named("text-regresion")


def test_the_kind_of_a_task_is_found() -> None:
    task = Task(name="points", task="given-points", options=POINTS)
    assert type(kind_of(task)).__module__ == "kinds.tabular_regression"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("tabular-regresion", "given-points: unknown kind 'tabular-regresion': did you mean"),
        (
            "flat-image-classification",
            "kind flat-image-classification: labels: []; allowed: 2 classes or",
        ),
    ],
)
def test_a_task_of_a_wrong_kind_is_refused_once_and_before_any_job(
    small: dict[str, Any],
    problems: Problems,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kind: str,
    message: str,
) -> None:
    monkeypatch.setattr(GivenPoints, "kind", kind)
    small["tasks"]["digits"] = {"task": "given-points", "options": POINTS}
    (line,) = problems(small)
    assert line.startswith("tasks.digits.task: ")
    assert message in line
    with pytest.raises((UnknownNameError, ValueError), match="kind"):
        prepare_task(Task(name="points", task="given-points", options=POINTS), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("edited", "decides"),
    [
        ("kinds/text_regression.py", True),
        ("kinds/inputs/text.py", True),
        ("kinds/outputs/numbers.py", True),
        ("kinds/outputs/classes.py", False),
        ("kinds/inputs/vectors.py", False),
        ("kinds/text_classification.py", False),
    ],
)
def test_a_run_s_own_kind_decides_it_and_no_other(
    edited: str, decides: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ["methods.head", *modules("text-regression")]
    before, plain = run_digest(*own), source._tree
    monkeypatch.setattr(
        source, "_tree", lambda path: plain(path) + "x" * path.as_posix().endswith(edited)
    )
    assert (run_digest(*own) != before) == decides


def test_a_package_brings_a_kind_by_an_entry_point(tmp_path: Path) -> None:
    package, facts = tmp_path / PACKAGE, tmp_path / f"{PACKAGE}-0.1.0.dist-info"
    package.mkdir()
    facts.mkdir()
    (package / "__init__.py").write_text(CODE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: finegrid-ranks\nVersion: 0.1.0\n")
    point = f"tabular-ranks = {PACKAGE}:TabularRanks"
    (facts / "entry_points.txt").write_text(f"[finegrid.kinds]\n{point}\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
