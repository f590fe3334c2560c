"""The registry of tasks: every file of this room, and every installed plug-in."""

from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter

from records.identity import canonical_json
from records.registry import Registry
from tasks.contract import Task

TASKS: Registry[Task] = Registry("task", Task, "tasks")
register = TASKS.register


def build(name: str, options: Mapping[str, JsonValue]) -> Task:
    """The task of that name with those options, checked strictly; absent ones take their default.

    Raises records.registry.UnknownNameError, or pydantic.ValidationError that names the option.
    """
    return TypeAdapter(TASKS.get(name)).validate_json(canonical_json(dict(options)))
