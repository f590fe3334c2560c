"""Digests of the source that decides what a job makes: where one changes, the job runs again."""

from __future__ import annotations

from functools import cache

from finegrid.metrics.registry import METRICS, modules
from finegrid.models.family import family_module
from finegrid.records.source import run_digest, source_digest
from finegrid.records.specification import Model, Specification, Task
from kinds import registry as kinds
from methods.registry import METHODS
from tasks.contract import Task as RegisteredTask
from tasks.registry import TASKS

PREPARE_TASK = "finegrid.prepare.task"
PREPARE_MODEL = "finegrid.prepare.model"
ENCODE = "finegrid.prepare.encode"
_run_digest = cache(run_digest)
"""One digest a method and task: a benchmark has thousands of runs, and few of these."""


def of_task(task: Task) -> str:
    """Of what decides how the task is prepared."""
    return source_digest([PREPARE_TASK, *_task_and_kind(task)])


def of_model(model: Model) -> str:
    """Of what decides the model's weights."""
    source = _task_and_kind(model.pretraining.task) if model.pretraining else []
    return source_digest([PREPARE_MODEL, family_module(model.configuration), *source])


def of_encoding(task: Task) -> str:
    """Of what decides how the prepared task is encoded: its kind, and no code of its own."""
    return source_digest([ENCODE, *kinds.modules(_built(task).kind)])


def of_run(spec: Specification, task_modules: list[str]) -> str:
    """Of what decides the run's numbers; `task_modules` are those of its task."""
    method = METHODS.get(spec.variant.method).__module__
    return _run_digest(method, family_module(spec.model.configuration), *task_modules)


def of_choice(of_a_run: str) -> str:
    """Of what decides the choice of a tuned cell, one of whose runs has that digest."""
    return source_digest(["finegrid.training.tune"]) + of_a_run


def of_reader(module: str) -> str:
    """Of a module that reads results: what it imports, and every metric."""
    return source_digest([module, *modules(METRICS)])


def task_modules(task: Task) -> list[str]:
    """The modules of the task, of its kind and of its metrics."""
    return [*_task_and_kind(task), *modules(_built(task).metrics)]


def _task_and_kind(task: Task) -> list[str]:
    built = _built(task)
    return [type(built).__module__, *kinds.modules(built.kind)]


def _built(task: Task) -> RegisteredTask:
    return TASKS.build(task.task, task.options)
