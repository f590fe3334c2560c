"""A digest of source code that changes with what the code does, not with how it is written."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

from finegrid import FACE

ROOMS = (
    "finegrid.records",
    "finegrid.metrics",
    "finegrid.models",
    "finegrid.training",
    "finegrid.prepare",
    "methods",
    "kinds",
    "tasks",
    "analysis",
)
"""Packages that decide numbers: their modules are followed through their imports."""
_ENGINE = "finegrid"
"""Our package of which only some rooms are followed; a plug-in's package is followed whole."""


def run_digest(*modules: str) -> str:
    """The digest of what decides a run's numbers: training, and `modules`.

    `modules` are those of the run's method, its task, the task's kind and its metrics.
    """
    return source_digest(["finegrid.training.run", *modules])


def source_digest(modules: Iterable[str]) -> str:
    """sha256 over the syntax trees of the modules and all that they import from our rooms.

    A module of a plug-in brings what it imports from its own top-level package as well. Comments,
    docstrings and layout change nothing. Raises ModuleNotFoundError for an unknown module.
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
            waiting.extend(_imports(name))
    return found


@cache
def _path(module: str) -> Path:
    path = _find(module)
    if path is None:
        raise ModuleNotFoundError(f"no source file for module {module!r}")
    return path


def _find(module: str) -> Path | None:
    """The module's source file. Imports nothing, as `find_spec` would the packages above it."""
    top, *parts = module.split(".")
    spec = find_spec(top)
    if spec is None:
        return None
    if not parts:
        return Path(spec.origin) if spec.origin else None
    for folder in spec.submodule_search_locations or ():
        stem = Path(folder, *parts)
        for path in (stem / "__init__.py", stem.with_suffix(".py")):
            if path.is_file():
                return path
    return None


@cache
def _imports(module: str) -> frozenset[str]:
    """The followed modules that an import of this one runs: its packages, and what it imports."""
    path = _path(module)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = set(_and_above(package))
    for statement in _read(path).imports:
        names.update(_imported(statement, package))
    top = _top(module)
    rooms = ROOMS if top == _ENGINE else (*ROOMS, top)
    return frozenset(name for name in names if _is_in(name, rooms) and _find(name))


def _is_in(module: str, rooms: Iterable[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """What the statement may import; a name that it takes from a module may be a module too."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _and_above(alias.name)
    elif isinstance(node, ast.ImportFrom):
        source = resolve_name("." * node.level + (node.module or ""), package)
        yield from _and_above(source)
        yield from (f"{source}.{alias.name}" for alias in node.names)
        if source == _ENGINE:
            yield from (FACE[alias.name] for alias in node.names if alias.name in FACE)


def _and_above(module: str) -> Iterator[str]:
    """The module and the packages that hold it, all of which its import runs."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def _top(module: str) -> str:
    return module.split(".")[0]


def _tree(path: Path) -> str:
    return _read(path).tree


@dataclass(frozen=True)
class _Source:
    """A file, as far as it counts."""

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    tree: str
    """Its syntax tree without what is only said."""


@cache
def _read(path: Path) -> _Source:
    imports: list[ast.Import | ast.ImportFrom] = []
    tree = _told(ast.parse(path.read_text(encoding="utf-8")), imports)
    return _Source(tuple(imports), tree)


def _told(node: Any, imports: list[ast.Import | ast.ImportFrom]) -> str:
    """The tree below a node as `ast.dump` tells it in Python 3.11, in half its time.

    Texts that stand alone are left out; the imports are added to the list.
    """
    if isinstance(node, list):
        return f"[{', '.join([_told(one, imports) for one in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        imports.append(node)
    kind, parts = type(node), []
    for name in kind._fields:
        value = getattr(node, name, None)
        if value is None and getattr(kind, name, ...) is None:
            continue
        if name == "body" and isinstance(value, list):
            value = [part for part in value if not _is_text(part)]
        parts.append(f"{name}={_told(value, imports)}")
    return f"{kind.__name__}({', '.join(parts)})"


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
