"""The registry of kinds: every file of this room, and every installed plug-in."""

from __future__ import annotations

from finegrid.records.registry import Registry
from kinds.contract import Kind

KINDS: Registry[Kind] = Registry("kind", Kind, "kinds")
register = KINDS.register


def kind_named(name: str) -> Kind:
    """The kind of that name. Raises UnknownNameError."""
    return KINDS.get(name)()


def modules(name: str) -> list[str]:
    """The module of a kind, which imports the inputs and the output that it is composed of."""
    return [KINDS.get(name).__module__]
