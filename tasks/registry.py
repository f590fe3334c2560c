"""The registry of tasks: every file of this room, and every installed plug-in."""

from finegrid.records.registry import Registry
from finegrid.records.specification import Task as TaskRecord
from kinds.contract import Kind
from kinds.registry import kind_named
from tasks.contract import Task

TASKS: Registry[Task] = Registry("task", Task, "tasks")
register = TASKS.register


def kind_of(task: TaskRecord) -> Kind:
    """The kind of a task. Raises UnknownNameError for a task or a kind that is not registered."""
    built = TASKS.build(task.task, task.options)
    return kind_named(built.kind, built.kind_options)


def remarks_of(task: TaskRecord) -> tuple[str, ...]:
    """What has to be said of a task wherever its scores stand: its own remarks, and its kind's."""
    built = TASKS.build(task.task, task.options)
    return (*built.remarks, *kind_named(built.kind, built.kind_options).remarks())
