"""The registry of tasks: every file of this room, and every installed plug-in."""

from finegrid.records.registry import Registry
from tasks.contract import Task

TASKS: Registry[Task] = Registry("task", Task, "tasks")
register = TASKS.register
