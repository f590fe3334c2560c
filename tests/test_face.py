"""The names that plug-ins import: each leads to what it says, and nothing is loaded unasked."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import finegrid
from finegrid.metrics.registry import METRICS
from finegrid.records.registry import Registry
from kinds.registry import KINDS
from methods.registry import METHODS
from tasks.registry import TASKS


@pytest.mark.parametrize("name", finegrid.FACE)
def test_a_name_leads_to_its_object(name: str) -> None:
    found = getattr(finegrid, name)
    assert found.__module__ == finegrid.FACE[name] or name.startswith("register_")


@pytest.mark.parametrize(
    "registry", [KINDS, METHODS, METRICS, TASKS], ids=["kind", "method", "metric", "task"]
)
def test_a_registry_is_that_of_its_name(registry: Registry[Any], request: Any) -> None:
    kind = request.node.callspec.id
    assert getattr(finegrid, f"register_{kind}") == registry.register


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(finegrid.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname or alias.name: node.module for node in imports for alias in node.names}
    assert seen == finegrid.FACE


def test_another_name_is_refused() -> None:
    message = "finegrid has no name 'Modell'; allowed: Anatomy, Family, "
    with pytest.raises(AttributeError, match=message):
        _ = finegrid.Modell


def test_nothing_is_loaded_unasked() -> None:
    line = "import sys, finegrid; print([m for m in sys.modules if m.startswith('finegrid.')])"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
