"""What is wrong with a benchmark file, so that it can be mended: key, value, what is allowed."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from records.registry import unknown_name

Location = tuple[str | int, ...]
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


class ConfigurationError(Exception):
    """All that is wrong with a benchmark, one line a problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        count = len(self.problems)
        head = f"the benchmark has {count} problem{'s' if count > 1 else ''}:"
        super().__init__("\n  ".join([head, *self.problems]))


def explain(error: ValidationError, schema: Mapping[str, Any], prefix: Location = ()) -> list[str]:
    """One line for each error; `schema` is the JSON schema that was violated.

    `prefix` is where the checked value stands in the file.
    """
    return [_explain_one(dict(one), schema, prefix) for one in error.errors()]


def _explain_one(one: dict[str, Any], schema: Mapping[str, Any], prefix: Location) -> str:
    path, allowed = _walk(schema, one["loc"])
    key = dotted(prefix + path)
    if one["type"] in _UNKNOWN_KEY:
        return f"{key}: {unknown_name('key', str(one['loc'][-1]), allowed)}"
    if one["type"] == "missing" or one["type"] == "missing_argument":
        return f"{key}: this key is required"
    return f"{key}: {_shown(one['input'])} is not allowed; {_sentence(one)}"


def _sentence(one: dict[str, Any]) -> str:
    message = str(one["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message[:1].lower() + message[1:]
    if isinstance(one["input"], str) and one["type"] in ("float_type", "int_type"):
        message += "; YAML reads 1e-3 as text, write 1.0e-3"
    return message


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def dotted(location: Location) -> str:
    """`a.b[0].c`, the way a key is named in messages."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "the file"


def _walk(schema: Mapping[str, Any], location: Location) -> tuple[Location, list[str]]:
    """The location without the tags of unions, and the keys that are allowed at its parent."""
    node, path, allowed = _resolve(schema, schema), [], list[str]()
    for part in location:
        union = node.get("discriminator", {}).get("mapping", {})
        if part in union:
            node = _resolve(schema, {"$ref": union[part]})
            continue
        if part == "[key]":
            continue
        path.append(part)
        allowed = list(node.get("properties", {}))
        node = _resolve(schema, _child(node, part))
    return tuple(path), allowed


def _child(node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    if isinstance(part, int):
        return dict(node.get("items", {}))
    child = node.get("properties", {}).get(part, node.get("additionalProperties", {}))
    return child if isinstance(child, Mapping) else {}


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in node:
        return dict(schema["$defs"][str(node["$ref"]).rsplit("/", 1)[-1]])
    options = [o for o in node.get("anyOf", ()) if o.get("type") != "null"]
    return _resolve(schema, options[0]) if len(options) == 1 else node
