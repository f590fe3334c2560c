"""What is wrong with a benchmark file, so that it can be mended: key, value, what is allowed."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from finegrid.records.base import NAME_PATTERN, REVISION_PATTERN, SHA256_PATTERN
from finegrid.records.claims import ALONG_PATTERN
from finegrid.records.registry import Registry, UnknownNameError, unknown_name
from finegrid.records.specification import SOURCE_PATTERN

T = TypeVar("T")
Location = tuple[str | int, ...]

SAFE_NAME = "a-z, 0-9, '.', '_' and '-', a letter or digit first, at most 121 characters"
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
_NUMBER = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?")
_NO_NUMBER = ("float_type", "int_type")
_PATTERNS = {
    NAME_PATTERN: SAFE_NAME,
    SHA256_PATTERN: "64 hexadecimal digits, lower case",
    SOURCE_PATTERN: (
        "hub:, package:, sdist:, wheel:, deb: or path:, and what it names; spaces in a path: alone"
    ),
    ALONG_PATTERN: "options.<key> of the tasks, or settings.<key> of the variants",
    REVISION_PATTERN: "40 hexadecimal digits, lower case: a commit, no branch or tag",
}


class ConfigurationError(Exception):
    """All that is wrong with a benchmark, one line a problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        count = len(self.problems)
        head = f"the benchmark has {count} problem{'s' if count > 1 else ''}:"
        super().__init__("\n  ".join([head, *self.problems]))


@dataclass
class Problems:
    """Collects what is wrong, so that a user sees all of it at once."""

    lines: list[str] = field(default_factory=list)

    def add(self, at: Location, message: str) -> None:
        """Note a problem of the key that stands at `at`."""
        self.lines.append(f"{dotted(at)}: {message}")

    def explain(self, error: ValidationError, schema: Mapping[str, Any], at: Location) -> None:
        """Note what pydantic found in the value at `at`."""
        self.lines += explain(error, schema, at)

    def build(
        self, registry: Registry[T], named: tuple[Location, str], given: tuple[Location, Any]
    ) -> T | None:
        """The registered class of a name, made with settings; both come with their location."""
        (name_at, name), (settings_at, settings) = named, given
        try:
            return registry.build(name, settings)
        except UnknownNameError as error:
            self.add(name_at, str(error))
        except ValidationError as error:
            self.explain(error, TypeAdapter(registry.get(name)).json_schema(), settings_at)
        return None

    def check(self) -> None:
        """Raise ConfigurationError if there are any."""
        if self.lines:
            raise ConfigurationError(self.lines)


def dump_settings(built: Any) -> dict[str, JsonValue]:
    """All the settings of a registered dataclass, defaults filled in, as JSON has them."""
    settings: dict[str, JsonValue] = TypeAdapter(type(built)).dump_python(built, mode="json")
    return settings


def dotted(location: Location) -> str:
    """`a.b[0].c`, the way a key is named in messages."""
    text = ""
    for part in location:
        # A key with a line break or an escape sequence is shown with a backslash.
        name = part if isinstance(part, int) or part.isprintable() else repr(part)[1:-1]
        text += f"[{name}]" if isinstance(part, int) else f".{name}"
    return text.removeprefix(".") or "the file"


def refused(value: Any, allowed: str) -> str:
    """The sentence on a value that is not allowed."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if not text.isprintable():  # a sign that hides, or that turns the rest of the line around
        text = json.dumps(value, default=str)
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return f"{shown} is not allowed; {allowed}"


def explain(error: ValidationError, schema: Mapping[str, Any], prefix: Location = ()) -> list[str]:
    """One line for each error; `schema` is the JSON schema that was violated.

    `prefix` is where the checked value stands in the file.
    """
    found = [dict(one) for one in error.errors()]
    return [_line(one, schema, prefix) for one in found if not _follows_on(one)]


def _follows_on(one: Mapping[str, Any]) -> bool:
    """Whether a list is called too short for its bad items, which have lines of their own."""
    return bool(one["type"] == "too_short" and len(one["input"]) >= one["ctx"]["min_length"])


def _line(one: dict[str, Any], schema: Mapping[str, Any], prefix: Location) -> str:
    path, node, siblings = _walk(schema, one["loc"])
    at, value = prefix + path, one["input"]
    if one["type"] in _UNKNOWN_KEY:
        return f"{dotted(at)}: {unknown_name('key', str(path[-1]), siblings)}"
    if one["type"] in _MISSING:
        return f"{dotted(at)}: this key is required"
    if one["type"].startswith("union_tag"):
        return _wrong_kind(value, node, at)
    if isinstance(value, Mapping) and one["type"] == "value_error":
        return _wrong_together(value, _message(one), at)
    return f"{dotted(at)}: {refused(value, _sentence(one))}"


def _wrong_kind(value: Any, node: Mapping[str, Any], at: Location) -> str:
    """A mapping whose discriminating key is missing or names no known kind."""
    key, kinds = node["discriminator"]["propertyName"], list(node["discriminator"]["mapping"])
    if key not in value:
        return f"{dotted((*at, key))}: this key is required; allowed: {', '.join(kinds)}"
    return f"{dotted((*at, key))}: {unknown_name(key, str(value[key]), kinds)}"


def _wrong_together(value: Mapping[str, Any], message: str, at: Location) -> str:
    """What a check of several keys says. It begins with the key, as `key: sentence` or in prose."""
    key, colon, rest = message.partition(": ")
    if colon and key.isidentifier():
        return f"{dotted((*at, key))}: {rest}"
    first = message.split(" ", 1)[0]
    if first.isidentifier():
        return f"{dotted((*at, first))}: {refused(value.get(first), message)}"
    return f"{dotted(at)}: {message}"


def _message(one: Mapping[str, Any]) -> str:
    return str(one["msg"]).removeprefix("Value error, ")


def _sentence(one: Mapping[str, Any]) -> str:
    kind, value = one["type"], one["input"]
    if kind == "string_pattern_mismatch" and one["ctx"]["pattern"] in _PATTERNS:
        return f"allowed: {_PATTERNS[one['ctx']['pattern']]}"
    if kind == "too_short":
        return f"allowed: at least {one['ctx']['min_length']}"
    message = _message(one)
    if kind in _NO_NUMBER and isinstance(value, str) and _NUMBER.fullmatch(value):
        message += "; this is text: write a number, with no quotes"
    return message[:1].lower() + message[1:]


def _walk(
    schema: Mapping[str, Any], location: Location
) -> tuple[Location, Mapping[str, Any], list[str]]:
    """The location without the marks that pydantic puts in, its schema, its siblings' keys."""
    node, path, siblings = _resolve(schema, schema), list[str | int](), list[str]()
    for part in location:
        kinds = node.get("discriminator", {}).get("mapping", {})
        if part in kinds:
            node = _resolve(schema, {"$ref": kinds[part]})
        elif part != "[key]":
            path.append(part)
            siblings = list(node.get("properties", {}))
            node = _resolve(schema, _child(node, part))
    return tuple(path), node, siblings


def _child(node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    child: Any
    if isinstance(part, int):
        child = node.get("items", {})
    else:
        others = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        child = node.get("properties", {}).get(part, others[0])
    return child if isinstance(child, Mapping) else {}


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema behind a reference, and behind an `or null`."""
    if "$ref" in node:
        return dict(schema["$defs"][str(node["$ref"]).rsplit("/", 1)[-1]])
    options = [o for o in node.get("anyOf", ()) if o.get("type") != "null"]
    return _resolve(schema, options[0]) if len(options) == 1 else node
