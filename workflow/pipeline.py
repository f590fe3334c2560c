"""What the Snakefile asks for: paths, parameters and resources by wildcard. Loads no torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from finegrid.models.anatomies import Anatomies
from finegrid.planning.benchmark import as_written, benchmark_from_config
from finegrid.planning.estimate import (
    Bound,
    encoding_megabytes,
    encoding_minutes,
    memory_megabytes,
    runtime_minutes,
)
from finegrid.planning.pinning import pinned
from finegrid.planning.plan import make_plan
from finegrid.planning.schema import Benchmark
from finegrid.prepare.examined import Examiner
from finegrid.prepare.hashes import HASHES_FILE
from finegrid.problems import ConfigurationError, refused
from finegrid.records.identity import canonical_json
from finegrid.records.place import record_file
from finegrid.records.plan import Cell, Plan
from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.registry import RegistrationError
from finegrid.records.result import RESULT_FILE
from finegrid.records.specification import Specification, Task
from finegrid.records.tuning import cell_specification, choice_file, possible, tuning_key
from finegrid.training.tracking import ModeError, mirror_mode
from methods.registry import METHODS
from tasks.registry import kind_of
from workflow import digests
from workflow.base_models import BaseModels
from workflow.encodings import Encodings
from workflow.forecast.profile import DEVICE_MEMORY, check_device_memory
from workflow.outputs import RESULTS_ALLOWED, RESULTS_PATTERN, Outputs
from workflow.planned import Planned
from workflow.priorities import Priorities
from workflow.sharing import gpu_parts, memory_of_gpus, needed_share
from workflow.sizes import Sizes


@dataclass(frozen=True)
class Pipeline:
    """A benchmark's plan, as one dictionary from wildcard to specification."""

    benchmark: Benchmark
    plan: Plan
    results: str
    allow_partial: bool = False
    """Whether tables and plots are made of the records that exist, and nothing is trained."""
    examiner: Examiner = field(default_factory=Examiner, compare=False)
    """What has looked at the user's own files, and knows what they hold."""

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], files: Iterable[Path] = (), arguments: Iterable[str] = ()
    ) -> Pipeline:
        """The pipeline of a Snakemake configuration, read from `files` and `--config arguments`.

        A wrong one ends the process with the list of what is wrong.
        """
        try:
            mirror_mode()
            return cls.plan_from(as_written(config, files, arguments))
        except (ConfigurationError, RegistrationError, ModeError) as error:
            sys.exit(str(error))

    @classmethod
    def plan_from(cls, config: Mapping[str, Any]) -> Pipeline:
        """The same. Raises ConfigurationError, or RegistrationError for a broken plug-in."""
        content = dict(config)
        results = str(content.pop("results", "results"))
        if not re.fullmatch(RESULTS_PATTERN, results):
            raise ConfigurationError([f"results: {refused(results, RESULTS_ALLOWED)}"])
        if (memory := content.pop(DEVICE_MEMORY, None)) is not None:
            check_device_memory(memory)  # for `finegrid plan`: no job depends on it
        partial = _yes_or_no("allow_partial", content.pop("allow_partial", False))
        examiner = Examiner.kept(Path(_hashes(results)).parent)
        benchmark = pinned(benchmark_from_config(content), examiner.hashed)
        plan = make_plan(benchmark, examiner, Anatomies.kept(results))
        pipeline = cls(benchmark, plan, results, partial, examiner)
        if partial and not pipeline.recorded:
            problem = f"none of the {len(pipeline.runs)} runs has a record below {results}/runs"
            raise ConfigurationError([f"allow_partial: {problem}"])
        return pipeline

    @property
    def name(self) -> str:
        """The benchmark's name, which its tables and plots carry."""
        return self.benchmark.name

    @property
    def hashes(self) -> str:
        """The file that keeps the hashes of files."""
        return _hashes(self.results)

    @cached_property
    def anatomies(self) -> Anatomies:
        """What looks up the anatomies of models, in a folder of the results."""
        return Anatomies.kept(self.results)

    @property
    def benchmark_json(self) -> str:
        """The benchmark, its sources pinned, for the job that writes the plan."""
        return self.benchmark.model_dump_json(exclude_unset=True)

    @cached_property
    def outputs(self) -> Outputs:
        """What tables and figures are made."""
        return Outputs(self.plan, self.results)

    @property
    def results_of_runs(self) -> list[str]:
        """The record of every run, or of those that have one where that is enough."""
        return list(self.recorded.values())

    @property
    def tasks_of_runs(self) -> list[str]:
        """The manifests of the tasks of these runs."""
        return sorted({self.run_task(run) for run in self.recorded})

    @cached_property
    def recorded(self) -> dict[str, str]:
        """Run identity -> record of the runs that tables and plots are made of."""
        records = {run: f"{self.results}/runs/{run}/{RESULT_FILE}" for run in self.runs}
        if not self.allow_partial:
            return records
        folder = Path(self.results) / "runs"
        found = {run: record_file(folder, run) for run in self.runs}
        return {run: str(path) for run, path in found.items() if path}

    @cached_property
    def runs(self) -> dict[str, Specification]:
        """Run identity -> specification, trials apart."""
        return self.plan.runs

    @cached_property
    def jobs(self) -> dict[str, Specification]:
        """Run identity -> specification of everything that trains: trials, then runs."""
        return Planned(self.plan.trials | self.runs)

    @cached_property
    def _tunings(self) -> dict[str, Cell]:
        tuned = (cell for cell in self.plan.cells if cell.trials)
        return Planned({tuning_key(next(iter(cell.runs.values()))): cell for cell in tuned})

    @cached_property
    def _sizes(self) -> Sizes:
        return Sizes(f"{self.results}/prepared")

    @cached_property
    def base_models(self) -> BaseModels:
        """The models that the runs start from."""
        return BaseModels(self._one_a_cell, self.anatomies, self._sizes)

    @cached_property
    def _tasks(self) -> dict[str, Task]:
        tasks = {spec.task.name: spec.task for spec in self._one_a_cell}
        sources = [p.task for model in self.base_models.models.values() if (p := model.pretraining)]
        return Planned({task.key: task for task in [*tasks.values(), *sources]})

    @cached_property
    def encodings(self) -> Encodings:
        """What the runs, the trials and the pretrainings read."""
        specs = [*self._one_a_cell, *self.plan.trials.values()]
        return Encodings(f"{self.results}/prepared", specs, self.base_models.models.values())

    @property
    def _one_a_cell(self) -> list[Specification]:
        """A run of every cell: all of them have its task and its model."""
        return [next(iter(cell.runs.values())) for cell in self.plan.cells if cell.runs]

    @cached_property
    def _task_keys(self) -> dict[str, str]:
        """Name -> key: hashed once, for thousands of runs have few tasks."""
        return {task.name: key for key, task in self._tasks.items()}

    def run_json(self, run: str) -> str:
        """The run's specification."""
        return canonical_json(self.jobs[run])

    def run_digest(self, run: str) -> str:
        """The digest of the source that decides the run's numbers."""
        spec = self.jobs[run]
        return digests.of_run(spec, self._task_modules[spec.task.name])

    @cached_property
    def _task_modules(self) -> dict[str, list[str]]:
        """Name of a task -> its module and those of its kind and metrics."""
        return {task.name: digests.task_modules(task) for task in self._tasks.values()}

    def run_threads(self, run: str) -> int:
        """The threads that the run asks for on each node, those of all its processes there."""
        training = self.jobs[run].training
        return training.threads * training.devices_per_node

    def run_gpus(self, run: str) -> int:
        """The GPUs that the run asks for."""
        training = self.jobs[run].training
        return training.devices if training.device == "cuda" else 0

    def run_gpu_parts(self, run: str, attempt: int) -> int:
        """The parts of GPUs that the run asks for; more with each attempt of one that is shared."""
        training = self.jobs[run].training
        return gpu_parts(training, attempt, lambda: self._needed_shares[run])

    @cached_property
    def shares_gpus(self) -> bool:
        """Whether several runs may share a GPU."""
        return any(spec.training.runs_per_device != 1 for spec in self.jobs.values())

    @cached_property
    def _needed_shares(self) -> dict[str, float]:
        """Run or trial -> the share of a GPU's memory that its cell takes, as predicted."""
        from workflow.forecast.memory import Tracer, peaks

        memory, known = memory_of_gpus(), Tracer(Path(self.results), anew=False)
        found = peaks(self.plan.cells, (), known, self.anatomies)
        return {
            run: needed_share(found[next(iter(cell.runs))].predicted_bytes, memory)
            for cell in self.plan.cells
            for run in (*cell.trials, *cell.runs)
        }

    def node_resources(self, run_of: Callable[[Any], str]) -> dict[str, Callable[[Any], Any]]:
        """The resources of jobs whose run may be spread over several nodes; none where none is.

        `run_of` names the run by the job's wildcards. `nodes` and `tasks` are for the scheduler,
        `mpi` tells a plug-in to start the job on the first node, by itself. They are functions
        that Snakemake calls for each of thousands of jobs.
        """
        if self.most_nodes == 1:
            return {}

        def nodes(wildcards: Any) -> int:
            return self.jobs[run_of(wildcards)].training.nodes

        return {
            "nodes": nodes,
            "tasks": lambda wildcards: nodes(wildcards) if nodes(wildcards) > 1 else None,
            "mpi": lambda wildcards: "srun" if nodes(wildcards) > 1 else None,
        }

    @property
    def most_nodes(self) -> int:
        """The most that one of the runs asks for."""
        return max((spec.training.nodes for spec in self.jobs.values()), default=1)

    @property
    def most_gpus(self) -> int:
        """The most that a run or a pretraining asks for."""
        return max([*map(self.run_gpus, self.jobs), self.base_models.most_gpus], default=0)

    def run_memory(self, run: str, attempt: int) -> int:
        """The megabytes of memory that the run asks for.

        Raises FileNotFoundError for its task's manifest, which Snakemake takes for: not yet known.
        """
        return self._bounded(memory_megabytes, self.jobs[run], attempt)

    def run_minutes(self, run: str, attempt: int) -> int:
        """The minutes that the run asks for. Raises as above."""
        return self._bounded(runtime_minutes, self.jobs[run], attempt)

    @cached_property
    def priorities(self) -> Priorities:
        """Which trials and runs go first."""
        sizes, keys = self._sizes, self._task_keys
        return Priorities(
            self.plan.cells,
            lambda spec: self.anatomies.of(spec.model, kind_of(spec.task).purpose),
            lambda spec: sizes.known(keys[spec.task.name]),
        )

    def run_task(self, run: str) -> str:
        """The manifest of the run's task."""
        return self._manifest("tasks", self._task_keys[self.jobs[run].task.name])

    def run_model(self, run: str) -> str:
        """The manifest of the run's model."""
        return self._manifest("models", self.base_models.keys[self.jobs[run].model.name])

    def run_encodings(self, run: str) -> list[str]:
        """The manifests of the encodings that the run may read: several if its length is tuned."""
        return self.encodings.of(self.jobs[run])

    def run_choice(self, run: str) -> list[str]:
        """The choice that the run waits for, if its cell is tuned."""
        spec = self.jobs[run]
        return [] if spec.tuning is None else [f"{self.results}/tuning/{choice_file(spec)}"]

    def tuning_trials(self, key: str) -> list[str]:
        """The records that a cell's choice is made of."""
        return [f"{self.results}/runs/{run}/{RESULT_FILE}" for run in self._tunings[key].trials]

    def tuning_encodings(self, key: str) -> list[str]:
        """The manifests of the encodings that the cell's trials read."""
        return self.encodings.of(*self._tunings[key].trials.values())

    def tuning_json(self, key: str) -> str:
        """The specification of a tuned cell."""
        return canonical_json(cell_specification(self._tuned(key)))

    def tuning_digest(self, key: str) -> str:
        """The digest of the source that decides a cell's choice."""
        return digests.of_choice(self.run_digest(self._tuned(key).run))

    def tuning_task(self, key: str) -> str:
        """The manifest of the cell's task, which names the metric of its trials."""
        return self.run_task(self._tuned(key).run)

    def tuning_run(self, key: str) -> str:
        """A run of the cell, whose threads and devices its trials need as well."""
        return self._tuned(key).run

    def tuning_memory(self, key: str, attempt: int) -> int:
        """The megabytes of memory that a trial beyond the grid asks for. Raises as above."""
        return self._bounded(memory_megabytes, self._tuned(key), attempt)

    def tuning_minutes(self, key: str, attempt: int) -> int:
        """The minutes that the trials beyond the grid ask for. Raises as above."""
        minutes = self._bounded(runtime_minutes, self._tuned(key), attempt)
        trials = self._tunings[key].trials.values()
        rates = {trial.training.learning_rate for trial in trials}
        return minutes * len(trials) // len(rates)

    def _bounded(self, bound: Bound, spec: Specification, attempt: int) -> int:
        """The largest bound over what the run's tuning may choose, more with each attempt."""
        data = self._sizes.of(self._task_keys[spec.task.name])
        trains_base = METHODS.get(spec.variant.method).trains_base
        anatomy = self.anatomies.of(spec.model, kind_of(spec.task).purpose)
        bounds = [bound(one, anatomy, trains_base=trains_base, data=data) for one in possible(spec)]
        return attempt * max(bounds)

    def _tuned(self, key: str) -> Specification:
        return next(iter(self._tunings[key].runs.values()))

    def task_json(self, key: str) -> str:
        """A task's record."""
        return canonical_json(self._tasks[key])

    def task_digest(self, key: str) -> str:
        """The digest of the source that decides how the task is prepared."""
        return digests.of_task(self._tasks[key])

    def model_inputs(self, key: str) -> list[str]:
        """The manifests of the model's source task and of its encoding, if it is pretrained."""
        model = self.base_models.models[key]
        if (pretraining := model.pretraining) is None:
            return []
        source = self._manifest("tasks", pretraining.task.key)
        return [source, *self.encodings.of_pretraining(model)]

    def encoding_memory(self, key: str, attempt: int) -> int:
        """The megabytes of memory that it takes to encode. Raises as above."""
        return attempt * encoding_megabytes(self._sizes.of(self.encodings.jobs[key].encoding.task))

    def encoding_minutes(self, key: str, attempt: int) -> int:
        """The minutes that it takes to encode. Raises as above."""
        return attempt * encoding_minutes(self._sizes.of(self.encodings.jobs[key].encoding.task))

    def module_digest(self, module: str) -> str:
        """The digest of a module that reads results: what it imports, and every metric."""
        return digests.of_reader(module)

    def _manifest(self, room: str, key: str) -> str:
        return f"{self.results}/prepared/{room}/{key}/{MANIFEST_FILE}"


def _hashes(results: str) -> str:
    return f"{results}/prepared/{HASHES_FILE}"


def _yes_or_no(key: str, value: Any) -> bool:
    """What a key says; Snakemake's command line gives it as text."""
    known = {"true": True, "false": False}
    if (said := str(value).lower()) not in known:
        raise ConfigurationError([f"{key}: {refused(value, 'allowed: true, false')}"])
    return known[said]
