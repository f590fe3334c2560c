"""Which encodings the runs of a plan read, each of them once. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from finegrid.records.encoded import ENCODED_FOLDER, Encoding
from finegrid.records.identity import canonical_json
from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.specification import Model, Specification, Task, model_key
from finegrid.records.tuning import possible
from finegrid.training.encoding import encoding_of
from tasks.registry import kind_of
from workflow import digests
from workflow.planned import Planned


@dataclass(frozen=True)
class Job:
    """One encoding that has to be made."""

    encoding: Encoding
    task: Task
    model: str | None
    """The key of the first model of the plan whose processor encodes so; None without one."""


class Encodings:
    """The encodings by their keys, those that a run reads, and where they lie in `prepared`."""

    def __init__(
        self, prepared: str, specs: Iterable[Specification], models: Iterable[Model]
    ) -> None:
        self._prepared = prepared
        self.jobs: dict[str, Job] = Planned()
        self.processors: dict[str, str] = Planned()
        """Key of a processor -> key of the first model of the plan that has it."""
        self._keys: dict[tuple[str, str, int], str] = {}
        for model in models:
            self.of_pretraining(model)
        for spec in specs:
            self.of(spec)

    def of(self, *specs: Specification) -> list[str]:
        """The manifests of what runs may read, whatever their tuning chooses."""
        read = ((spec, one) for spec in specs for one in possible(spec))
        keys = (self._key(spec.task, spec.model, one.training.max_length) for spec, one in read)
        return [self._manifest(ENCODED_FOLDER, key) for key in dict.fromkeys(keys)]

    def of_pretraining(self, model: Model) -> list[str]:
        """The manifest of what a model's pretraining reads, if there is one."""
        if (source := model.pretraining) is None:
            return []
        key = self._key(source.task, model, source.training.max_length)
        return [self._manifest(ENCODED_FOLDER, key)]

    def record(self, key: str) -> str:
        """The record of an encoding, for the job that makes it."""
        return canonical_json(self.jobs[key].encoding)

    def digest(self, key: str) -> str:
        """The digest of the source that decides how the task is encoded."""
        return digests.of_encoding(self.jobs[key].task)

    def task(self, key: str) -> str:
        """The manifest of the task that is encoded."""
        return self._manifest("tasks", self.jobs[key].encoding.task)

    def processor(self, key: str) -> list[str]:
        """The file that names the model whose processor encodes, if models have a say."""
        found = self.jobs[key].encoding.processor_key
        return [] if found is None else [f"{self._prepared}/processors/{found}.txt"]

    def model(self, processor: str) -> str:
        """The manifest of the first model of the plan with that processor."""
        return self._manifest("models", self.processors[processor])

    def _manifest(self, room: str, key: str) -> str:
        return f"{self._prepared}/{room}/{key}/{MANIFEST_FILE}"

    def _key(self, task: Task, model: Model, max_length: int) -> str:
        """Of many runs with few tasks, models and lengths: computed once."""
        known = task.name, model.name, max_length
        if known not in self._keys:
            self._keys[known] = self._add(task, model, max_length)
        return self._keys[known]

    def _add(self, task: Task, model: Model, max_length: int) -> str:
        encoding = encoding_of(kind_of(task), task, model, max_length)
        first = None
        if encoding.processor_key is not None:
            first = self.processors.setdefault(encoding.processor_key, model_key(model))
        self.jobs.setdefault(encoding.key, Job(encoding, task, first))
        return encoding.key
