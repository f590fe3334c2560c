"""The registry of kinds: every file of this room, and every installed plug-in."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from finegrid.records.registry import Registry
from kinds.contract import Kind

KINDS: Registry[Kind] = Registry("kind", Kind, "kinds")
register = KINDS.register


def kind_named(name: str, options: Mapping[str, JsonValue] | None = None) -> Kind:
    """The kind of that name, with what a task says of it.

    Raises UnknownNameError, or pydantic.ValidationError that names the option.
    """
    return KINDS.build(name, options) if options else KINDS.get(name)()


def modules(name: str) -> list[str]:
    """The module of a kind, which imports the inputs and the output that it is composed of."""
    return [KINDS.get(name).__module__]
