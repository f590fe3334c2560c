"""The registry of kinds: every file of this room, and every installed plug-in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from pydantic import JsonValue

from finegrid.records.registry import Registry
from kinds.contract import Kind

KINDS: Registry[Kind] = Registry("kind", Kind, "kinds")
register = KINDS.register
LABELS = "labels"
"""The field of a kind that is told the names of its task's labels."""
SEVERAL = "several_references"
"""The field of a kind that says whether what is true of a row is a list of texts."""


def kind_named(name: str, options: Mapping[str, JsonValue] | None = None) -> Kind:
    """The kind of that name, with what a task says of it.

    Raises UnknownNameError, or pydantic.ValidationError that names the option.
    """
    return KINDS.build(name, options) if options else KINDS.get(name)()


def told(kind: Kind, labels: Sequence[str]) -> Kind:
    """The kind with the names of a task's labels, where it has them."""
    return replace(kind, labels=tuple(labels)) if hasattr(kind, LABELS) else kind  # type: ignore[type-var]


def with_labels(
    name: str, options: Mapping[str, JsonValue], labels: Sequence[str]
) -> dict[str, JsonValue]:
    """What a task says of its kind, with the names of its labels where the kind has them."""
    is_told = name in KINDS and any(one.name == LABELS for one in fields(KINDS.get(name)))  # type: ignore[arg-type]
    return {**options, LABELS: list(labels)} if is_told else dict(options)


def modules(name: str) -> list[str]:
    """The module of a kind, which imports the inputs and the output that it is composed of."""
    return [KINDS.get(name).__module__]
