"""From a benchmark to its plan: every cell, every run, every problem, before any job starts."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from methods.contract import Method
from methods.registry import METHODS
from records.base import NAME_PATTERN
from records.identity import content_hash
from records.plan import Cell, Plan
from records.registry import UnknownNameError
from records.source import run_digest
from records.specification import Specification, Training, Variant
from tasks.registry import TASKS
from workflow.catalogue import Catalogue, ModelPlan, TaskPlan
from workflow.schemas.benchmark import Benchmark, Grid, VariantEntry
from workflow.schemas.errors import ConfigurationError, Location, dotted, explain

EXIT_CONFIGURATION = 78


def make_plan(benchmark: Benchmark) -> Plan:
    """Expand a benchmark. Raises ConfigurationError with everything that is wrong with it."""
    planner = _Planner(benchmark, Catalogue(benchmark))
    cells = tuple(planner.cells())
    problems = [*planner.catalogue.problems, *planner.problems, *_duplicates(cells)]
    if problems:
        raise ConfigurationError(problems)
    return Plan(benchmark=benchmark.name, description=benchmark.description, cells=cells)


def digest(spec: Specification) -> str:
    """The digest of the source that decides the numbers of that run."""
    method, task = METHODS.get(spec.variant.method), TASKS.get(spec.task.task)
    return run_digest(method.__module__, task.__module__)


@dataclass(frozen=True)
class _Variant:
    """A variant of a grid, with its method built and its place in the file."""

    name: str
    entry: VariantEntry
    method: Method
    record: Variant
    at: Location


@dataclass
class _Planner:
    benchmark: Benchmark
    catalogue: Catalogue
    problems: list[str] = field(default_factory=list)

    def cells(self) -> Iterator[Cell]:
        """The cells of every grid, in the order of the file."""
        for number, grid in enumerate(self.benchmark.grids):
            at: Location = ("grids", number)
            tasks = [self.catalogue.task(name, (*at, "tasks")) for name in grid.tasks]
            models = [self.catalogue.model(name, (*at, "models")) for name in grid.models]
            variants = list(self._variants(grid, at))
            for task, model, variant in product(tasks, models, variants):
                if task and model and (cell := self._cell(grid, task, model, variant)):
                    yield cell

    def _variants(self, grid: Grid, at: Location) -> Iterator[_Variant]:
        for template, entry in grid.variants.items():
            place = (*at, "variants", template)
            for name, settings in self._combinations(template, entry, place):
                variant = self._variant(name, entry, settings, place)
                if variant:
                    yield variant

    def _combinations(
        self, template: str, entry: VariantEntry, at: Location
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        named = set(re.findall(r"{(.*?)}", template))
        if named != set(entry.grid) or set(entry.grid) & set(entry.settings):
            allowed = ", ".join(f"{{{key}}}" for key in entry.grid) or "no braces"
            self._problem(at, f"the name has to hold each key of its grid, once: {allowed}")
            return
        for values in product(*entry.grid.values()):
            chosen = dict(zip(entry.grid, values, strict=True))
            yield template.format(**chosen), entry.settings | chosen

    def _variant(
        self, name: str, entry: VariantEntry, settings: dict[str, Any], at: Location
    ) -> _Variant | None:
        if not re.match(NAME_PATTERN, name):
            self._problem(at, f"{name!r} is no safe name; allowed: {NAME_PATTERN}")
            return None
        try:
            method = METHODS.build(entry.method, settings)
        except UnknownNameError as error:
            self._problem((*at, "method"), str(error))
            return None
        except ValidationError as error:
            schema = TypeAdapter(METHODS.get(entry.method)).json_schema()
            self.problems += explain(error, schema, (*at, "settings"))
            return None
        full = TypeAdapter(type(method)).dump_python(method, mode="json")
        record = Variant(name=name, method=entry.method, settings=full)
        return _Variant(name, entry, method, record, at)

    def _cell(self, grid: Grid, task: TaskPlan, model: ModelPlan, variant: _Variant) -> Cell | None:
        reason = variant.method.not_applicable(model.shape)
        cell = Cell(
            task=task.record.name,
            model=model.record.name,
            variant=variant.name,
            method=variant.entry.method,
            not_applicable=reason,
        )
        if reason:
            if grid.not_applicable == "error":
                hint = "set not_applicable: show for a row that says so"
                self._problem(variant.at, f"does not fit model {cell.model!r}: {reason}; {hint}")
            return cell
        training = self._training(grid, variant)
        fits = self._fits(task, model, variant, training)
        if training is None or not fits:
            return None
        specs = [
            Specification(
                task=task.record,
                model=model.record,
                variant=variant.record,
                training=training,
                seed=seed,
            )
            for seed in self.benchmark.seeds
        ]
        for spec in specs:
            if not re.match(NAME_PATTERN, spec.run):
                self._problem(variant.at, f"{spec.run!r} is too long for a run's name")
        return cell.model_copy(update={"runs": {spec.run: spec for spec in specs}})

    def _fits(
        self, task: TaskPlan, model: ModelPlan, variant: _Variant, training: Training | None
    ) -> bool:
        before = len(self.problems)
        for problem in variant.method.problems(model.shape):
            self._problem((*variant.at, "settings"), f"{problem} (model {model.record.name!r})")
        for problem in self.catalogue.mismatches(task, model, training):
            self._problem(variant.at[:2], problem)
        return len(self.problems) == before

    def _training(self, grid: Grid, variant: _Variant) -> Training | None:
        entry = variant.entry
        layers = [self.benchmark.training, grid.training, entry.training]
        merged: dict[str, Any] = {}
        for layer in layers:
            merged = deep_merge(merged, layer.model_dump(mode="json", exclude_unset=True))
        if entry.learning_rate is not None:
            merged["learning_rate"] = entry.learning_rate
        return self.catalogue.training(merged, (*variant.at, "training"))

    def _problem(self, at: Location, message: str) -> None:
        self.problems.append(f"{dotted(at)}: {message}")


def deep_merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, key by key at every depth: what it leaves out stays."""
    merged = dict(below)
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = deep_merge(merged[key], value) if nested else value
    return merged


def _duplicates(cells: tuple[Cell, ...]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for cell in cells:
        name = f"{cell.task} x {cell.model} x {cell.variant}"
        contents = [_content(spec) for spec in list(cell.runs.values())[:1]]
        for key in [f"name {name}", *contents]:
            if key in seen:
                yield f"grids: {name} is the same cell as {seen[key]}"
                break
            seen[key] = name


def _content(spec: Specification) -> str:
    """What the cell computes, whatever it is called."""
    plain = spec.model_dump(mode="json")
    plain["variant"].pop("name")
    return content_hash(plain)


def main(arguments: list[str] | None = None) -> int:
    """`python -m workflow.plan --benchmark - --output FILE`: write the plan of a benchmark."""
    parser = argparse.ArgumentParser(prog="python -m workflow.plan", description=main.__doc__)
    parser.add_argument("--benchmark", required=True, help="the benchmark as JSON; - reads stdin")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    text = sys.stdin.read() if options.benchmark == "-" else Path(options.benchmark).read_text()
    try:
        make_plan(Benchmark.model_validate_json(text)).write(options.output)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_CONFIGURATION
    return 0


if __name__ == "__main__":
    sys.exit(main())
