"""Benchmarks of any size, and results for them that no run has made: for measurements alone."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.identity import canonical_json, content_hash, file_sha256
from finegrid.records.plan import Plan
from finegrid.records.prepared import MANIFEST_FILE, SPLITS, PreparedModel, PreparedTask, Split
from finegrid.records.result import HISTORY_FILE, PREDICTIONS_FILE, RESULT_FILE, Result, Score
from finegrid.records.specification import Specification, model_key
from tasks.registry import TASKS
from workflow.encodings import Encodings
from workflow.pipeline import Pipeline

TEMPLATE = Path(__file__).with_name("plan_scale.yaml")
RECORDED = Path(__file__).parents[1] / "results" / "reference" / "runs"
_NO_HASH = "0" * 64
_LONG_AGO_SECONDS = 1_000_000_000
_BESIDE = (HISTORY_FILE, PREDICTIONS_FILE)
_STEPS, _LABELS = 300, 10
ITEMS = 20
"""In the validation and the test split of every task, as the template has them."""


@dataclass(frozen=True)
class Shape:
    """How many values each axis of a benchmark has."""

    tasks: int
    models: int
    variants: int
    seeds: int

    @property
    def runs(self) -> int:
        """The size of the plan."""
        return self.tasks * self.models * self.variants * self.seeds


def content(shape: Shape) -> dict[str, Any]:
    """The benchmark file of that shape, parsed. Its tasks and models differ in a seed alone."""
    found: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    ((task, one_task),), ((model, one_model),) = found["tasks"].items(), found["models"].items()
    tasks = {
        f"{task}-{n}": one_task | {"options": one_task["options"] | {"split_seed": n}}
        for n in range(shape.tasks)
    }
    models = {f"{model}-{n}": one_model | {"seed": n} for n in range(shape.models)}
    (grid,) = found["grids"]
    (variant,) = grid["variants"].values()
    variant["grid"] = {
        key: [float(n + 1) for n in range(shape.variants)] for key in variant["grid"]
    }
    grid |= {"tasks": list(tasks), "models": list(models)}
    axes = {"tasks": tasks, "models": models, "seeds": list(range(shape.seeds))}
    return found | axes | {"max_runs": shape.runs}


def plan_of(shape: Shape) -> Plan:
    """The plan of the benchmark of that shape."""
    return make_plan(parse_benchmark(content(shape)))


def write_benchmark(shape: Shape, file: Path) -> None:
    """Write the benchmark's file."""
    file.write_text(yaml.safe_dump(content(shape), sort_keys=False), encoding="utf-8")


def write_results(plan: Plan, runs: Path) -> None:
    """A valid, sealed record for each run, below the folder `runs`, with history and predictions.

    Runs with one score share these two files, by hard links.
    """
    model, draw = _recorded(), random.Random(0)  # noqa: S311 - scores, no secrets
    written: dict[int, Path] = {}
    for run, spec in plan.runs.items():
        folder, right = runs / run, draw.randint(0, ITEMS)
        folder.mkdir(parents=True)
        _write_beside(right, folder, written.setdefault(right, folder))
        record = _result(model, spec, right, folder)
        # Not by the atomic writer: these files may be lost.
        (folder / RESULT_FILE).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def write_prepared(plan: Plan, prepared: Path) -> None:
    """The manifests of the plan's tasks and models, older than every result."""
    specs = [next(iter(cell.runs.values())) for cell in plan.cells if cell.runs]
    for key, task in {spec.task.key: spec for spec in specs}.items():
        _write_task(task, prepared / "tasks" / key)
    for key, model in {model_key(spec.model): spec.model for spec in specs}.items():
        folder = prepared / "models" / key
        PreparedModel(key=key, spec=model, files={}).write(folder / MANIFEST_FILE)
        _age(folder / MANIFEST_FILE)
    for manifest in map(Path, Encodings(str(prepared), [], []).of(*specs)):
        manifest.parent.mkdir(parents=True)
        manifest.touch()  # nothing reads it
        _age(manifest)


def write_plan(plan: Plan, file: Path) -> None:
    """The plan's file, older than every result."""
    plan.write(file)
    _age(file)


def touch_outputs(pipeline: Pipeline) -> None:
    """Every table, figure and the report, empty where it does not exist, newer than the results."""
    report = f"{pipeline.results}/reports/{pipeline.name}.html"
    first, *others = (Path(path) for path in [*pipeline.outputs.all, report])
    now = time.time()
    for path, moment in [(first, now), *((path, now + 1) for path in others)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (moment, moment))


def _recorded() -> Result:
    """A real record of a run of a network."""
    for path in sorted(RECORDED.glob(f"*/{RESULT_FILE}")):
        result = Result.read(path)
        if (
            result.state == "ok"
            and result.spec.role == "run"
            and result.spec.model.kind == "network"
        ):
            return result
    raise FileNotFoundError(f"{RECORDED} holds no record of a run of a network")


def _write_beside(right: int, folder: Path, first: Path) -> None:
    """History and predictions, or links to them if those of the folder `first` are the same."""
    if folder == first:
        _write_history(folder / HISTORY_FILE)
        _write_predictions(right, folder / PREDICTIONS_FILE)
        return
    for name in _BESIDE:
        (folder / name).hardlink_to(first / name)


def _write_history(file: Path) -> None:
    """The steps of a short training, as a run writes them."""
    norms = {f"body.{layer}": 0.5 for layer in range(3)}
    event = {"loss": 0.5, "gradient_norm": 1.0, "learning_rate": 0.01, "seconds": 0.002}
    lines = (
        canonical_json(event | {"step": step, "layer_gradient_norms": norms}) + "\n"
        for step in range(1, _STEPS + 1)
    )
    file.write_text("".join(lines), encoding="utf-8")


def _write_predictions(right: int, file: Path) -> None:
    """Predictions as a run writes them, with that many items of each split right."""
    item = np.arange(ITEMS)
    label = item % _LABELS
    columns = {
        "id": item.astype(str),
        "label": label.astype(float),
        "prediction": np.where(item < right, label, label + 1).astype(float),
        "logits": [[0.1] * _LABELS] * ITEMS,
    }
    splits = [pd.DataFrame({"split": name} | columns) for name in ("validation", "test")]
    pd.concat(splits).to_parquet(file, index=False)


def _result(model: Result, spec: Specification, right: int, folder: Path) -> Result:
    """The recorded result as that of another run, with the score of its predictions."""
    if model.metrics is None:
        raise ValueError(f"{model.run} has no metrics")
    scores = dict.fromkeys(model.metrics.test, Score(value=right / ITEMS, n=ITEMS))
    made_from = {
        "data_sha256": content_hash(spec.task.name),
        "model_sha256": content_hash(spec.model.name),
    }
    changed = {
        "run": spec.run,
        "spec": spec,
        "tuning": None,
        "files": {name: file_sha256(folder / name) for name in _BESIDE},
        "metrics": model.metrics.model_copy(update={"validation": scores, "test": scores}),
        "provenance": model.provenance.model_copy(update=made_from),
    }
    return model.model_copy(update=changed).sealed()


def _write_task(spec: Specification, folder: Path) -> None:
    task = TASKS.build(spec.task.task, spec.task.options)
    folder.mkdir(parents=True)
    for name in SPLITS:
        (folder / f"{name}.parquet").write_bytes(bytes(1000))
    PreparedTask(
        key=spec.task.key,
        spec=spec.task,
        kind=task.kind,
        labels=task.labels,
        metrics=task.metrics,
        splits={name: Split(n=ITEMS, sha256=_NO_HASH, file_sha256=_NO_HASH) for name in SPLITS},
        overlaps=(),
        sha256=_NO_HASH,
    ).write(folder / MANIFEST_FILE)
    _age(folder / MANIFEST_FILE)


def _age(path: Path) -> None:
    os.utime(path, (_LONG_AGO_SECONDS, _LONG_AGO_SECONDS))
