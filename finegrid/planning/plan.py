"""From a benchmark to its plan: every cell, every run, every problem, before any job starts."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from finegrid.models.anatomies import Anatomies
from finegrid.planning.catalogue import Catalogue, Describe, ModelPlan, TaskPlan
from finegrid.planning.claims import check_claims
from finegrid.planning.fits import mismatches
from finegrid.planning.pinning import pinned
from finegrid.planning.schema import Benchmark, Grid, PartialTraining, VariantEntry
from finegrid.planning.size import check_size
from finegrid.planning.tuning import plan_trials, plan_tuning, settled
from finegrid.prepare.checkpoint_files import head_problem
from finegrid.prepare.examined import Examiner
from finegrid.problems import (
    SAFE_NAME,
    ConfigurationError,
    Location,
    Problems,
    dotted,
    dump_settings,
    refused,
)
from finegrid.records.base import NAME_PATTERN
from finegrid.records.identity import content_hash
from finegrid.records.merge import deep_merge
from finegrid.records.plan import Cell, Plan
from finegrid.records.registry import RegistrationError, unknown_name
from finegrid.records.specification import Specification, Tuning, Variant
from finegrid.records.training import Training
from kinds.registry import kind_named
from methods.contract import Method
from methods.registry import METHODS

EXIT_CONFIGURATION = 78
_EMPTY = "empty"
"""In a variant's name: a text or a list that holds nothing."""
_BRACES = r"{(.*?)}"
_TRAINING = "training."
"""What a key of a grid begins with that is none of the method's."""


def make_plan(
    benchmark: Benchmark, examiner: Examiner | None = None, describe: Describe | None = None
) -> Plan:
    """Expand a benchmark, whose local sources are pinned by the hashes that `examiner` has.

    It looks at whole files, each once. `describe` finds the anatomies of its models; by default a
    process of its own does. Raises ConfigurationError with everything that is wrong with it.
    """
    examiner = examiner or Examiner()
    problems, benchmark = Problems(), pinned(benchmark, examiner.hashed)
    catalogue = Catalogue(benchmark, problems, examiner, describe or Anatomies())
    cells = tuple(_Planner(benchmark, catalogue, problems).cells())
    problems.check()
    check_size(benchmark, cells, problems)
    problems.check()
    if benchmark.claims is not None:
        check_claims(benchmark.claims, cells, problems)
        problems.check()
    return Plan(
        benchmark=benchmark.name,
        description=benchmark.description,
        cells=cells,
        claims=benchmark.claims,
    )


@dataclass(frozen=True)
class _Variant:
    """A variant of a grid, with its method built and its place in the file."""

    entry: VariantEntry
    method: Method
    record: Variant
    training: dict[str, Any]
    """What its grid says of training."""
    at: Location


@dataclass
class _Planner:
    benchmark: Benchmark
    catalogue: Catalogue
    problems: Problems
    _seen: dict[str, str] = field(default_factory=dict)

    def cells(self) -> Iterator[Cell]:
        """The cells of every grid, in the order of the file."""
        for number, grid in enumerate(self.benchmark.grids):
            at: Location = ("grids", number)
            tasks = [self.catalogue.task(n, (*at, "tasks", i)) for i, n in enumerate(grid.tasks)]
            self._check_tasks(grid, at)
            models = [
                self.catalogue.model(n, (*at, "models", i)) for i, n in enumerate(grid.models)
            ]
            variants = list(self._variants(grid, at))
            for task, plans, variant in product(tasks, models, variants):
                model = plans.get(kind_named(task.task.kind).purpose) if task else None
                if task and model:
                    cell = self._cell(grid, task, model, variant)
                    self._refuse_twins(cell, variant.at)
                    yield cell

    def _check_tasks(self, grid: Grid, at: Location) -> None:
        """Note the tasks that `by_task` names and the grid does not have."""
        places = [(at, grid.by_task)]
        places += [((*at, "variants", n), one.by_task) for n, one in grid.variants.items()]
        for place, by_task in places:
            for task in (one for one in by_task if one not in grid.tasks):
                problem = unknown_name("task", task, list(grid.tasks))
                self.problems.add((*place, "by_task", task), problem)

    def _variants(self, grid: Grid, at: Location) -> Iterator[_Variant]:
        for template, entry in grid.variants.items():
            place = (*at, "variants", template)
            for name, chosen in self._combinations(template, entry, place):
                if variant := self._variant(name, entry, chosen, place):
                    yield variant

    def _combinations(
        self, template: str, entry: VariantEntry, at: Location
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The name of each variant that the entry spans, and what its grid gives it."""
        for place, key in _places(entry).items():
            if key in entry.grid:
                self.problems.add((*at, *place), "this key is in grid too; allowed: one place")
        braces = [key.removeprefix(_TRAINING) for key in entry.grid]
        if sorted(re.findall(_BRACES, template)) != sorted(braces):
            wanted = ", ".join(f"{{{key}}}" for key in braces) or "no braces"
            self.problems.add(at, f"the name holds each key of its grid once; allowed: {wanted}")
            return
        for values in product(*entry.grid.values()):
            shown = dict(zip(braces, values, strict=True))
            name = re.sub(_BRACES, lambda match: _label(shown[match[1]]), template)  # noqa: B023
            yield name, dict(zip(entry.grid, values, strict=True))

    def _variant(
        self, name: str, entry: VariantEntry, chosen: dict[str, Any], at: Location
    ) -> _Variant | None:
        training = {
            key.removeprefix(_TRAINING): value
            for key, value in chosen.items()
            if key.startswith(_TRAINING)
        }
        own = {key: value for key, value in chosen.items() if not key.startswith(_TRAINING)}
        named, given = ((*at, "method"), entry.method), ((*at, "settings"), entry.settings | own)
        method = self.problems.build(METHODS, named, given)
        if not re.fullmatch(NAME_PATTERN, name):
            self.problems.add(at, refused(name, f"allowed: {SAFE_NAME}"))
        elif method is not None:
            record = Variant(name=name, method=entry.method, settings=dump_settings(method))
            return _Variant(entry, method, record, training, at)
        return None

    def _cell(self, grid: Grid, task: TaskPlan, model: ModelPlan, variant: _Variant) -> Cell:
        method, name = variant.entry.method, model.record.name
        reason = variant.method.not_applicable(model.anatomy)
        if reason and grid.not_applicable == "error":
            hint = "set not_applicable: show for a row that says so"
            message = f"{method!r} does not fit model {name!r}: {reason}; {hint}"
            self.problems.add((*variant.at, "method"), message)
        runs = {} if reason else self._runs(grid, task, model, variant)
        trials = plan_trials(list(runs.values()), self.problems)
        self._check_trials(trials, task, model)
        return Cell(
            task=task.record.name,
            model=name,
            variant=variant.record.name,
            method=method,
            not_applicable=reason,
            runs=runs,
            trials=trials,
        )

    def _check_settings(self, model: ModelPlan, method: Method, at: Location) -> None:
        for problem in method.problems(model.anatomy):
            key, _, rest = problem.partition(": ")
            self.problems.add((*at, "settings", key), f"{rest} (model {model.record.name!r})")

    def _check_fit(
        self, task: TaskPlan, model: ModelPlan, training: Training, method: Method, at: Location
    ) -> None:
        """Note what does not go together; `at` is the variant, or what else has these keys."""
        for place, mismatch in mismatches(task, model, training, method):
            self.problems.add((*at, *place) if place else at[:2], mismatch)

    def _check_trials(
        self, trials: dict[str, Specification], task: TaskPlan, model: ModelPlan
    ) -> None:
        """Hold what is tuned against the model as well; a file that is wrong already is enough."""
        if self.problems.lines:
            return
        for spec in trials.values():
            method = METHODS.build(spec.variant.method, spec.variant.settings)
            self._check_settings(model, method, ("tuning",))
            self._check_fit(task, model, spec.training, method, ("tuning",))

    def _runs(
        self, grid: Grid, task: TaskPlan, model: ModelPlan, variant: _Variant
    ) -> dict[str, Specification]:
        labels = task.task.labels
        width = kind_named(task.task.kind).output.width(labels)
        if misfit := head_problem(model.record, labels, width):
            at = ("models", model.record.name, "head")
            self.problems.add(at, f"{misfit} (task {task.record.name!r})")
        self._check_settings(model, variant.method, variant.at)
        training = self._training(grid, task.record.name, variant)
        if training is None:
            return {}
        self._check_fit(task, model, training, variant.method, variant.at)
        specs = [
            Specification(
                task=task.record,
                model=model.record,
                variant=variant.record,
                training=training,
                seed=seed,
                tuning=self._tuning(grid, training, variant),
            )
            for seed in self.benchmark.seeds
        ]
        named = ((spec.run, spec) for spec in settled(specs))
        return {run: spec for run, spec in named if self._is_safe(run, spec, variant.at)}

    def _tuning(self, grid: Grid, training: Training, variant: _Variant) -> Tuning | None:
        if self.benchmark.tuning is None or not variant.method.trains:
            return None
        return plan_tuning(self.benchmark.tuning, grid, training)

    def _training(self, grid: Grid, task: str, variant: _Variant) -> Training | None:
        entry = variant.entry
        merged = _merged(self.benchmark.training, grid.training, grid.by_task.get(task))
        merged = deep_merge(merged, _merged(entry.training))
        if entry.learning_rate is not None:
            merged["learning_rate"] = entry.learning_rate
        merged = deep_merge(merged, {"learning_rates": entry.learning_rates})
        merged = deep_merge(merged, _merged(entry.by_task.get(task)))
        merged = deep_merge(merged, _nested(variant.training))
        place = ("by_task", task) if task in entry.by_task else ("training",)
        at = (*variant.at, *place)
        return self.catalogue.training(merged, at, trains=variant.method.trains)

    def _is_safe(self, run: str, spec: Specification, at: Location) -> bool:
        safe = re.fullmatch(NAME_PATTERN, run) is not None
        if not safe:
            allowed = "task, model and variant together are too long for a run's name; allowed: 106"
            self.problems.add(at, refused(spec.cell, allowed))
        return safe

    def _refuse_twins(self, cell: Cell, at: Location) -> None:
        """A cell that stands twice, under the same name or under another."""
        name = f"{cell.task} x {cell.model} x {cell.variant}"
        contents = [_content(spec) for spec in list(cell.runs.values())[:1]]
        for key in (name, *contents):
            if key in self._seen:
                self.problems.add(at, f"{name} is the same cell as {self._seen[key]}; allowed: one")
                return
            self._seen[key] = f"{name} at {dotted(at)}"


def _merged(*layers: PartialTraining | None) -> dict[str, Any]:
    """Each laid over those before it, key by key."""
    merged: dict[str, Any] = {}
    for layer in filter(None, layers):
        merged = deep_merge(merged, layer.model_dump(mode="json", exclude_unset=True))
    return merged


def _places(entry: VariantEntry) -> dict[Location, str]:
    """Where an entry gives something beside its grid, and what a key of the grid calls it."""
    of_training: set[tuple[str, ...]]
    of_training = {("training", key) for key in entry.training.model_fields_set}
    if entry.learning_rate is not None:
        of_training.add(("training", "learning_rate"))
    for task, given in entry.by_task.items():
        of_training |= {("by_task", task, key) for key in given.model_fields_set}
    places: dict[Location, str] = {("settings", key): key for key in entry.settings}
    return places | {place: f"{_TRAINING}{place[-1]}" for place in sorted(of_training)}


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    """Values by key, of which a nested one has a dot, as they nest in a file."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        first, _, rest = key.partition(".")
        nested = deep_merge(nested, {first: _nested({rest: value}) if rest else value})
    return nested


def _label(value: Any) -> str:
    """A value of a grid as a part of its variant's name."""
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list):
        return "-".join(map(_label, value)) or _EMPTY
    if isinstance(value, str):
        return value or _EMPTY
    return json.dumps(value).replace("e+", "e")  # null, true, 0.0001, 1e16


def _content(spec: Specification) -> str:
    """What the cell computes, whatever its parts are called."""
    plain = spec.model_dump(mode="json")
    for part in ("task", "model", "variant"):
        plain[part].pop("name")
    return content_hash(plain)


def main(arguments: list[str] | None = None) -> int:
    """Write the plan of a benchmark, which is given as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m finegrid.planning.plan", description=main.__doc__
    )
    parser.add_argument("--benchmark", required=True, help="the benchmark as JSON; - reads stdin")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--hashes", type=Path, help="a file of hashes of files")
    parser.add_argument("--anatomies", type=Path, help="a folder of anatomies of models")
    options = parser.parse_args(arguments)
    text = sys.stdin.read() if options.benchmark == "-" else Path(options.benchmark).read_text()
    try:
        benchmark = Benchmark.model_validate_json(text)
        examiner = Examiner.kept(options.hashes.parent) if options.hashes else Examiner()
        make_plan(benchmark, examiner, Anatomies(options.anatomies)).write(options.output)
    except (ConfigurationError, RegistrationError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_CONFIGURATION
    return 0


if __name__ == "__main__":
    sys.exit(main())
