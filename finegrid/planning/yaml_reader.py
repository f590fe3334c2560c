"""YAML 1.2, as far as a benchmark needs it: the core schema, and no key written twice."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import IO, Any

import yaml

from finegrid.problems import ConfigurationError

_TAG = "tag:yaml.org,2002:"
_PLAIN: dict[str, tuple[str, list[str]]] = {
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|"
        r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
    "merge": (r"<<", ["<"]),
}
"""Tag -> the plain scalars that have it (YAML 1.2.2, chapter 10.3.2), and their first signs.

Merge keys are older than that; they have remained in use.
"""


class _Loader(yaml.SafeLoader):
    """SafeLoader reads YAML 1.1, to which 1e-4 and 0o17 are text, and no, 012 and 1:30 are not."""

    yaml_implicit_resolvers: dict[str, Any] = {}


def read_yaml(document: str | IO[str]) -> Any:
    """What a document holds. Raises yaml.YAMLError, RecursionError, ConfigurationError."""
    return yaml.load(document, Loader=_Loader)  # noqa: S506  # derived from SafeLoader


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    # Merge keys are still apart here: a key beside `<<` may repeat, and overrides, a merged one.
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value if _is_own(key)]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        line = node.start_mark.line + 1
        raise ConfigurationError(
            [f"{twice}: this key stands twice in the mapping that begins at line {line}"]
        )
    return loader.construct_mapping(node, deep=True)


def _is_own(key: yaml.Node) -> bool:
    return bool(key.tag != f"{_TAG}merge")


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(re.sub(r"\.(?=[in])", "", str(loader.construct_scalar(node)).lower()))


for _name, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor(f"{_TAG}int", _integer)
_Loader.add_constructor(f"{_TAG}float", _number)
