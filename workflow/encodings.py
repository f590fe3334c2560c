"""Which encodings the runs of a plan read, each of them once. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from finegrid.records.encoded import Encoding
from finegrid.records.specification import Model, Specification, Task, model_key
from finegrid.records.tuning import possible
from finegrid.training.encoding import encoding_of
from tasks.registry import kind_of
from workflow.planned import Planned


@dataclass(frozen=True)
class Job:
    """One encoding that has to be made."""

    encoding: Encoding
    task: Task
    model: str | None
    """The key of the first model of the plan whose processor encodes so; None without one."""


class Encodings:
    """The encodings by their keys, and those that a run reads."""

    def __init__(self, specs: Iterable[Specification], models: Iterable[Model]) -> None:
        self.jobs: dict[str, Job] = Planned()
        self.processors: dict[str, str] = Planned()
        """Key of a processor -> key of the first model of the plan that has it."""
        self._keys: dict[tuple[str, str, int], str] = {}
        for model in models:
            self.of_pretraining(model)
        for spec in specs:
            self.of(spec)

    def of(self, spec: Specification) -> list[str]:
        """The keys of what a run may read, whatever its tuning chooses."""
        lengths = dict.fromkeys(one.training.max_length for one in possible(spec))
        keys = (self._key(spec.task, spec.model, length) for length in lengths)
        return list(dict.fromkeys(keys))

    def of_pretraining(self, model: Model) -> list[str]:
        """The key of what a model's pretraining reads, if there is one."""
        if (source := model.pretraining) is None:
            return []
        return [self._key(source.task, model, source.training.max_length)]

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
