"""The files that describe the project agree with each other."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def normalised(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Package -> version of the lines that pin one."""
    return {normalised(name): version for name, version in PIN.findall(text)}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    declared: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return declared


@pytest.fixture(scope="module")
def declared(project: dict[str, Any]) -> dict[str, str]:
    lines = [*project["dependencies"], *project["optional-dependencies"]["development"]]
    return pins("\n".join(lines))


@pytest.fixture(scope="module")
def locked() -> dict[str, str]:
    return pins((ROOT / "requirements.lock").read_text())


@pytest.fixture(scope="module")
def conda() -> list[Any]:
    parsed: list[Any] = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return parsed


def test_every_dependency_is_pinned(project: dict[str, Any], declared: dict[str, str]) -> None:
    everything = project["dependencies"] + project["optional-dependencies"]["development"]
    assert len(declared) == len(everything)


def test_the_lock_holds_what_is_declared(declared: dict[str, str], locked: dict[str, str]) -> None:
    wanted = {name: version for name, version in declared.items() if name != "torch"}
    assert {name: locked.get(name) for name in wanted} == wanted
    assert "torch" not in locked


def test_every_locked_package_has_hashes() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    for number, line in enumerate(lines):
        if PIN.match(line):
            assert lines[number + 1].strip().startswith("--hash=sha256:"), line


def test_conda_brings_the_same_versions(conda: list[Any], declared: dict[str, str]) -> None:
    assert f"pytorch={declared['torch']}" in conda
    assert conda[-1] == {"pip": ["--requirement requirements.lock"]}


def test_conda_brings_a_python_that_is_allowed(project: dict[str, Any], conda: list[Any]) -> None:
    lowest = project["requires-python"].removeprefix(">=")
    python = next(line for line in conda if str(line).startswith("python="))
    assert python == f"python={lowest}"


def test_ci_calls_the_test_command_of_the_readme_and_all_others() -> None:
    assert "make test " in (ROOT / "README.md").read_text()
    called = (ROOT / ".ci" / "run").read_text()
    assert "\nmake test\n" in called
    assert all(target in called for target in ("make test-thorough", "test-slurm", "lint"))


def test_what_make_test_leaves_out_it_shows_the_kind_of() -> None:
    """The test that a mark names is there, and in `make test`: it bears no such mark itself.

    Of a test that leaves out some of its cases, the mark stands at them and names the test.
    """
    defined: dict[str, bool] = {}
    named: dict[str, Path] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                is_left_out = any(map(thorough, node.decorator_list))
                defined[node.name] = defined.get(node.name, True) and is_left_out
            if call := thorough(node):
                (test,) = call.args
                if isinstance(test, ast.Constant):
                    named[str(test.value)] = path
    assert len(named) > 20
    assert {test: str(path) for test, path in named.items() if defined.get(test, True)} == {}


def thorough(node: ast.AST) -> ast.Call | None:
    """The call of the mark, if it is one."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.thorough":
        return node
    return None


DOCUMENTS = ["README.md", "CONTRIBUTING.md", "config/README.md", *sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: Path(path).name)
def test_links_lead_somewhere(document: str | Path) -> None:
    path = ROOT / document
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []
