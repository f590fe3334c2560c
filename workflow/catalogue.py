"""The tasks and models of a benchmark, resolved once, with the problems that they have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from methods.architectures import Shape, describe
from records.registry import UnknownNameError, unknown_name
from records.specification import (
    Checkpoint,
    Model,
    Network,
    Pretraining,
    RandomModel,
    Source,
    Task,
    Training,
)
from tasks.contract import Task as RegisteredTask
from tasks.registry import TASKS
from workflow import sources
from workflow.schemas.benchmark import (
    Benchmark,
    CheckpointEntry,
    NetworkEntry,
    PretrainingEntry,
    RandomEntry,
)
from workflow.schemas.errors import Location, dotted, explain

CONFIGURATION_FILE = "config.json"


@dataclass(frozen=True)
class TaskPlan:
    """A task's record, and the registered task that it names."""

    record: Task
    task: RegisteredTask


@dataclass(frozen=True)
class ModelPlan:
    """A model's record, and the shape that methods are checked against."""

    record: Model
    shape: Shape


@dataclass
class Catalogue:
    """Looks up what a benchmark names. Each problem is noted once; None stands for a bad entry."""

    benchmark: Benchmark
    problems: list[str] = field(default_factory=list)
    _tasks: dict[str, TaskPlan | None] = field(default_factory=dict)
    _models: dict[str, ModelPlan | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.benchmark.tasks:
            self._tasks[name] = self._resolve_task(name)
        for name in self.benchmark.models:
            self._models[name] = self._resolve_model(name)

    def task(self, name: str, at: Location) -> TaskPlan | None:
        """The task of that name; `at` is where it is asked for."""
        if name not in self._tasks:
            self._problem(at, unknown_name("task", name, list(self._tasks)))
        return self._tasks.get(name)

    def model(self, name: str, at: Location) -> ModelPlan | None:
        """The model of that name; `at` is where it is asked for."""
        if name not in self._models:
            self._problem(at, unknown_name("model", name, list(self._models)))
        return self._models.get(name)

    def training(self, merged: dict[str, Any], at: Location) -> Training | None:
        """Training settings with all defaults filled in."""
        try:
            return Training.model_validate_json(json.dumps(merged))
        except ValidationError as error:
            self.problems += explain(error, Training.model_json_schema(), at)
            return None

    def mismatches(
        self, task: TaskPlan, model: ModelPlan, training: Training | None
    ) -> Iterator[str]:
        """Why a model cannot be trained on a task, or not in that way."""
        record, labels = model.record, task.task.labels
        names = f"model {record.name!r} on task {task.record.name!r}"
        stack = isinstance(record, Network)
        if stack != (task.task.kind == "image-classification"):
            yield f"{names}: a task of kind {task.task.kind} does not go with kind {record.kind}"
        elif isinstance(record, Network) and record.layers[-1] != len(labels):
            yield f"{names}: layers end in {record.layers[-1]}, the task has {len(labels)} labels"
        if stack and training and training.dropout is not None:
            yield f"{names}: dropout: {training.dropout} has no layer to act on; allowed: null"
        if stack and training and training.gradient_checkpointing:
            yield f"{names}: gradient_checkpointing: true has no blocks here; allowed: false"

    def _resolve_task(self, name: str) -> TaskPlan | None:
        entry, at = self.benchmark.tasks[name], ("tasks", name)
        try:
            task = TASKS.build(entry.task, entry.options)
        except UnknownNameError as error:
            self._problem((*at, "task"), str(error))
            return None
        except ValidationError as error:
            schema = TypeAdapter(TASKS.get(entry.task)).json_schema()
            self.problems += explain(error, schema, (*at, "options"))
            return None
        self._check_source(entry.source, (*at, "source"))
        options = TypeAdapter(type(task)).dump_python(task, mode="json")
        record = Task(name=name, task=entry.task, source=entry.source, options=options)
        return TaskPlan(record, task)

    def _resolve_model(self, name: str) -> ModelPlan | None:
        entry, at = self.benchmark.models[name], ("models", name)
        record: Model | None
        if isinstance(entry, CheckpointEntry):
            record = self._checkpoint(name, entry, at)
        elif isinstance(entry, RandomEntry):
            self._check_source(entry.tokenizer, (*at, "tokenizer"))
            record = RandomModel(name=name, **dict(entry))
        else:
            record = self._network(name, entry, at)
        return self._described(record, at) if record else None

    def _described(self, record: Model, at: Location) -> ModelPlan | None:
        try:
            return ModelPlan(record, describe(record.configuration))
        except UnknownNameError as error:
            self._problem((*at, "configuration", "model_type"), str(error))
        except KeyError as error:
            self._problem((*at, "configuration"), f"key {error} is required")
        return None

    def _checkpoint(self, name: str, entry: CheckpointEntry, at: Location) -> Checkpoint | None:
        self._check_source(entry.source, (*at, "source"))
        configuration = entry.configuration
        if not entry.source.uri.startswith("hub:"):
            configuration = self._configuration(entry.source) | configuration
        if not configuration:
            self._problem((*at, "configuration"), "this key is required here; it is checked later")
            return None
        return Checkpoint(
            kind="checkpoint", name=name, source=entry.source, configuration=configuration
        )

    def _network(self, name: str, entry: NetworkEntry, at: Location) -> Network | None:
        pretraining = None
        if entry.pretraining is not None:
            pretraining = self._pretraining(entry.pretraining, (*at, "pretraining"))
            if pretraining is None:
                return None
        return Network(
            kind="network",
            name=name,
            layers=entry.layers,
            pretraining=pretraining,
            seed=entry.seed,
        )

    def _pretraining(self, entry: PretrainingEntry, at: Location) -> Pretraining | None:
        task = self.task(entry.task, (*at, "task"))
        merged = entry.training.model_dump(mode="json", exclude_unset=True)
        training = self.training(merged, (*at, "training"))
        if task is None or training is None:
            return None
        return Pretraining(task=task.record, training=training, seed=entry.seed)

    def _check_source(self, source: Source, at: Location) -> None:
        for problem in sources.problems(source):
            self._problem(at, problem)

    @staticmethod
    def _configuration(source: Source) -> dict[str, Any]:
        path = sources.local_files(source).get(CONFIGURATION_FILE)
        return json.loads(path.read_text(encoding="utf-8")) if path else {}

    def _problem(self, at: Location, message: str) -> None:
        self.problems.append(f"{dotted(at)}: {message}")
