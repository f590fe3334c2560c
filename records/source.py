"""A digest of source code that changes with what the code does, not with how it is written."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOMS = ("records", "methods", "tasks", "training", "analysis")
"""Packages whose modules are followed through their imports."""


def run_digest(*modules: str) -> str:
    """The digest of what decides a run's numbers: training with its metrics, and `modules`.

    `modules` are those of the run's method and task.
    """
    training = _path("training.run").parent
    metrics = (path.stem for path in sorted((training / "metrics").glob("*/*.py")))
    return source_digest(
        ["training.run", *modules, *(f"training.metrics.{name}.{name}" for name in metrics)]
    )


def source_digest(modules: Iterable[str]) -> str:
    """sha256 over the syntax trees of the modules and all that they import from our rooms.

    Comments, docstrings and layout change nothing. Raises ModuleNotFoundError for an unknown
    module.
    """
    digest = hashlib.sha256()
    for name in sorted(_closure(modules)):
        digest.update(name.encode())
        digest.update(_tree(_path(name)).encode())
    return digest.hexdigest()


def _closure(modules: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(_path(name)))
    return found


@cache
def _path(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source file for module {module!r}")
    return Path(spec.origin)


@cache
def _imports(path: Path) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names.update(name for name in _imported(node) if name.split(".")[0] in ROOMS)
    return frozenset(names)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        for alias in node.names:
            if node.module in ROOMS and find_spec(f"{node.module}.{alias.name}"):
                yield f"{node.module}.{alias.name}"


@cache
def _tree(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
