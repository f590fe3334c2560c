"""The keys of the peft library's configurations, read from its source: an import loads torch."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pydantic import JsonValue

from methods.peft_types import Config

_BASES = {"PeftConfig", "LycorisConfig"}
"""Classes that peft's configurations extend."""


def canonical(library_type: str, config: Config) -> Config:
    """The configuration with its numbers as peft annotates them: 16 and 16.0 are one setting."""
    known = annotated_keys(library_type)
    return {key: _number(value, known.get(key, "")) for key, value in config.items()}


def _number(value: JsonValue, annotation: str) -> JsonValue:
    """A number as a float or as an integer; where it may be both, the two mean different things."""
    if isinstance(value, list):
        return [_number(one, annotation) for one in value]
    if isinstance(value, dict):
        return {key: _number(one, annotation) for key, one in value.items()}
    floats, integers = "float" in annotation, "int" in annotation
    if isinstance(value, bool) or (floats and integers):
        return value
    if floats and isinstance(value, int):
        return float(value)
    return int(value) if not floats and isinstance(value, float) and value.is_integer() else value


@cache
def annotated_keys(library_type: str) -> dict[str, str]:
    """The keys of a type's configuration and their annotations, those of a type it extends too."""
    statements = _statements(library_type)
    types = _types_of(statements)
    found: dict[str, str] = {}
    for node in statements:
        bases = set(map(ast.unparse, node.bases)) if isinstance(node, ast.ClassDef) else set()
        for base in bases & types.keys():
            found |= annotated_keys(types[base])
        if bases & (_BASES | types.keys()):
            found |= _fields(node)
    return found


def _statements(library_type: str) -> list[ast.stmt]:
    """Those of the module that holds the type's configuration."""
    spec = find_spec("peft")
    folders = (spec.submodule_search_locations if spec else None) or []
    sources = [Path(folder, "tuners", library_type, "config.py") for folder in folders]
    return [part for path in sources for part in ast.parse(path.read_text("utf-8")).body]


def _types_of(statements: list[ast.stmt]) -> dict[str, str]:
    """Imported configuration -> the type that it is of."""
    return {
        alias.name: str(node.module).rpartition(".")[2]
        for node in statements
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.endswith("Config") and alias.name not in _BASES
    }


def _fields(node: ast.stmt) -> dict[str, str]:
    """The fields of a class and their annotations."""
    parts = node.body if isinstance(node, ast.ClassDef) else []
    fields = [part for part in parts if isinstance(part, ast.AnnAssign)]
    return {ast.unparse(part.target): ast.unparse(part.annotation) for part in fields}
