"""What the Snakefile asks for: paths, parameters and resources by wildcard. Loads no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from methods.registry import METHODS
from records.identity import canonical_json
from records.plan import Plan
from records.prepared import MANIFEST_FILE
from records.registry import RegistrationError
from records.result import RESULT_FILE
from records.source import run_digest, source_digest
from records.specification import Model, Network, Pretraining, Specification, Task, model_key
from tasks.registry import TASKS
from workflow.benchmark import benchmark_from_config
from workflow.plan import make_plan
from workflow.schemas.benchmark import Benchmark
from workflow.schemas.errors import ConfigurationError, refused

PLOTS = (
    "score-by-parameters",
    "score-by-memory",
    "memory-by-method",
    "score-by-rank",
    "learning-curves",
)
# The digest follows imports inside the rooms of a run; workflow's own modules are named.
_PREPARE_TASK = ("workflow.prepare_task", "workflow.sources")
_PREPARE_MODEL = ("workflow.prepare_model", "workflow.sources")


@dataclass(frozen=True)
class Pipeline:
    """A benchmark's plan, as one dictionary from wildcard to specification."""

    benchmark: Benchmark
    plan: Plan
    results: str

    @classmethod
    def from_config(cls, config: Mapping[str, Any], files: Iterable[Path] = ()) -> Pipeline:
        """The pipeline of a Snakemake configuration, which was read from `files`.

        A wrong one ends the process with the list of what is wrong.
        """
        try:
            return cls.plan_from(config, files)
        except (ConfigurationError, RegistrationError) as error:
            sys.exit(str(error))

    @classmethod
    def plan_from(cls, config: Mapping[str, Any], files: Iterable[Path] = ()) -> Pipeline:
        """The same. Raises ConfigurationError, or RegistrationError for a broken plug-in."""
        content = dict(config)
        results = str(content.pop("results", "results"))
        if not results or set(results) & set("{}"):
            problem = refused(results, "allowed: the path of a folder, without braces")
            raise ConfigurationError([f"results: {problem}"])
        benchmark = benchmark_from_config(content, files)
        return cls(benchmark, make_plan(benchmark), results)

    @property
    def name(self) -> str:
        """The benchmark's name, which its tables and plots carry."""
        return self.benchmark.name

    @property
    def benchmark_json(self) -> str:
        """The benchmark, for the job that writes the plan."""
        return self.benchmark.model_dump_json(exclude_unset=True)

    @property
    def plots(self) -> list[str]:
        """Every figure's files."""
        kinds = ("png", "svg")
        return [f"{self.results}/plots/{self.name}-{p}.{k}" for p in PLOTS for k in kinds]

    @property
    def results_of_runs(self) -> list[str]:
        """Every run's record."""
        return [f"{self.results}/runs/{run}/{RESULT_FILE}" for run in self.runs]

    @cached_property
    def runs(self) -> dict[str, Specification]:
        """Run identity -> specification."""
        return self.plan.runs

    @cached_property
    def _models(self) -> dict[str, Model]:
        return {model_key(spec.model): spec.model for spec in self.runs.values()}

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        tasks = [spec.task for spec in self.runs.values()]
        tasks += [p.task for model in self._models.values() if (p := _pretraining(model))]
        return {task.key: task for task in tasks}

    def run_json(self, run: str) -> str:
        """The run's specification."""
        return canonical_json(self.runs[run])

    def run_digest(self, run: str) -> str:
        """The digest of the source that decides the run's numbers."""
        spec = self.runs[run]
        return _run_digest(METHODS.get(spec.variant.method), TASKS.get(spec.task.task))

    def run_threads(self, run: str) -> int:
        """The threads that the run asks for."""
        return self.runs[run].training.threads

    def run_gpus(self, run: str) -> int:
        """The GPUs that the run asks for."""
        return int(self.runs[run].training.device == "cuda")

    def run_task(self, run: str) -> str:
        """The manifest of the run's task."""
        return self._manifest("tasks", self.runs[run].task.key)

    def run_model(self, run: str) -> str:
        """The manifest of the run's model."""
        return self._manifest("models", model_key(self.runs[run].model))

    def task_json(self, key: str) -> str:
        """A task's record."""
        return canonical_json(self._tasks[key])

    def task_digest(self, key: str) -> str:
        """The digest of the source that decides how the task is prepared."""
        task = TASKS.get(self._tasks[key].task)
        return source_digest([*_PREPARE_TASK, task.__module__])

    def model_json(self, key: str) -> str:
        """A model's record."""
        return canonical_json(self._models[key])

    def model_digest(self, key: str) -> str:
        """The digest of the source that decides the model's weights."""
        pretraining = _pretraining(self._models[key])
        task = [TASKS.get(pretraining.task.task).__module__] if pretraining else []
        return source_digest([*_PREPARE_MODEL, *task])

    def model_inputs(self, key: str) -> list[str]:
        """The manifest of the model's source task, if it is pretrained."""
        pretraining = _pretraining(self._models[key])
        return [self._manifest("tasks", pretraining.task.key)] if pretraining else []

    def module_digest(self, module: str) -> str:
        """The digest of a module and what it imports."""
        return source_digest([module])

    def _manifest(self, room: str, key: str) -> str:
        return f"{self.results}/prepared/{room}/{key}/{MANIFEST_FILE}"


@cache
def _run_digest(method: type[Any], task: type[Any]) -> str:
    """One digest a method and task: a benchmark has thousands of runs, and few of these."""
    return run_digest(method.__module__, task.__module__)


def _pretraining(model: Model) -> Pretraining | None:
    return model.pretraining if isinstance(model, Network) else None
