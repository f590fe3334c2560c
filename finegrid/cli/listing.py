"""What is registered, read from the classes' fields: for the terminal and as JSON. No torch."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from itertools import chain
from typing import Any

from pydantic import JsonValue
from pydantic_core import to_jsonable_python
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from finegrid.records.registry import Registry

Schema = Mapping[str, Any]
_BOUNDS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "multipleOf": "a multiple of {}",
    "pattern": "{}",
}


@dataclass(frozen=True)
class Setting:
    """A field of a registered class, as a benchmark file may set it."""

    name: str
    type: str
    required: bool
    default: JsonValue
    allowed: str

    def __str__(self) -> str:
        is_line = isinstance(self.default, str) and self.default.isprintable()
        shown = self.default if is_line else json.dumps(self.default)
        return f"{self.name}: {self.type}" + ("" if self.required else f" = {shown}")


@dataclass(frozen=True)
class Entry:
    """A registered name, with what its class says of itself."""

    name: str
    summary: str
    paper: str | None
    origin: str
    settings: tuple[Setting, ...]
    groups: tuple[str, ...] = ()
    """The names of what a method trains that may have learning rates of their own."""


def entries(registry: Registry[Any]) -> list[Entry]:
    """All that is registered, by name. Raises RegistrationError for a broken plug-in."""
    return [_entry(registry, name) for name in registry]


def as_json(listed: list[Entry]) -> str:
    """The same as `blocks`, for programs."""
    return json.dumps([asdict(entry) for entry in listed], indent=1, ensure_ascii=False)


def blocks(listed: list[Entry]) -> Iterator[RenderableType]:
    """One block an entry: a table of all would be wider than a terminal."""
    for entry in listed:
        yield Text(f"{entry.name}  ", style="bold").append(entry.origin, style="dim")
        lines = [entry.summary, *([entry.paper] if entry.paper else [])]
        yield from (_indented(Text(line)) for line in lines)
        grid = Table.grid(padding=(0, 3))
        for setting in entry.settings:
            # An empty cell would take width from the first column.
            grid.add_row(*(Text(cell) for cell in (str(setting), setting.allowed) if cell))
        yield _indented(grid if entry.settings else Text("no settings", style="dim"))
        if entry.groups:
            yield _indented(Text(f"learning_rates: {', '.join(entry.groups)}", style="dim"))
        yield ""


def _indented(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, 2), expand=False)


def _entry(registry: Registry[Any], name: str) -> Entry:
    entry = registry.get(name)
    groups = getattr(entry, "groups", ())
    return Entry(
        name=name,
        summary=(inspect.getdoc(entry) or "").split("\n")[0],
        paper=getattr(entry, "paper", None),
        origin=registry.origin(name),
        settings=tuple(_settings(registry.type_adapter(name).json_schema(), _made(entry))),
        groups=groups if isinstance(groups, tuple) else (),  # else the settings decide
    )


def _made(entry: type[Any]) -> dict[str, JsonValue]:
    """The defaults that a function makes, which the schema leaves out."""
    factories = {one.name: one.default_factory for one in fields(entry)}
    return {
        name: to_jsonable_python(make()) for name, make in factories.items() if make is not MISSING
    }


def _settings(schema: Schema, made: Mapping[str, JsonValue]) -> Iterator[Setting]:
    for name, node in schema.get("properties", {}).items():
        options = node.get("anyOf", [node])
        yield Setting(
            name=name,
            type=" or ".join(_type(option, schema) for option in options),
            required=name in schema.get("required", ()),
            default=node.get("default", made.get(name)),
            allowed=", ".join(chain.from_iterable(_allowed(option, schema) for option in options)),
        )


def _resolved(node: Schema, schema: Schema) -> Schema:
    """The definition that a reference stands for."""
    reference = node.get("$ref")
    return dict(schema["$defs"][reference.rsplit("/", 1)[-1]]) if reference else node


def _type(node: Schema, schema: Schema) -> str:
    node = _resolved(node, schema)
    if node.get("type") == "array" and "items" in node:
        return f"list of {_type(node['items'], schema)}s"
    return str(node.get("type", "value"))


def _allowed(node: Schema, schema: Schema) -> Iterator[str]:
    node = _resolved(node, schema)
    values = node.get("enum", [node["const"]] if "const" in node else [])
    if values:
        yield " | ".join(map(str, values))
    yield from (phrase.format(node[key]) for key, phrase in _BOUNDS.items() if key in node)
    if "items" in node:
        yield from (f"each {phrase}" for phrase in _allowed(node["items"], schema))
