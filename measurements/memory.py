"""The memory that is predicted of a training step against the memory that a run measures.

python -m measurements.memory [--models bert gpt2 llama] [--output FILE.md]

Every registered method trains tiny random models on two kinds of task: in whole batches, in
micro-batches and with gradient checkpointing; those of other libraries in whole batches alone.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import yaml

from finegrid.records.costs import Memory
from finegrid.records.specification import Specification
from finegrid.records.write import write_text
from finegrid.training.experiment import Run, stages
from finegrid.training.libraries import load_libraries
from finegrid.training.run import prepare_environment
from measurements.measure import machine
from measurements.reviews import write_reviews
from methods.registry import METHODS, training_methods
from workflow.pipeline import Pipeline
from workflow.surroundings import ROOT, shut_out_working_folder

TEMPLATE, TABLE = (Path(__file__).with_suffix(ending) for ending in (".yaml", ".md"))
ROWS = 80
WAYS: dict[str, dict[str, Any]] = {
    "whole": {},
    "micro": {"micro_batch_size": 4},
    "checkpointed": {"gradient_checkpointing": True},
}
WITHIN = 0.02
"""How far a prediction may be off."""
NOTES = f"""
- error: the predicted peak of a step over the measured one, less 1: the median, the smallest and
  the largest. off: how many are off by more than {100 * WITHIN:g} %.
- measured: live tensors by the allocator's events, while two micro-batches and a step of the
  optimizer are taken; predicted: the same step traced without numbers, as `finegrid plan` does.
- Two blocks of width 256 with the vocabulary of MiniLM, batches of 16 texts of at most 64 tokens;
  whole: in one micro-batch; micro: in four of 4 texts; checkpointed: with gradient checkpointing.
- Both are counts of bytes: the load of the machine changes nothing.
"""


@dataclass(frozen=True)
class Found:
    """A run's memory, or why it has none."""

    spec: Specification
    way: str
    memory: Memory | None
    reason: str | None = None

    @property
    def error(self) -> float | None:
        """The predicted peak over the measured one, less 1."""
        if self.memory is None or self.memory.predicted_peak_bytes is None:
            return None
        return self.memory.predicted_peak_bytes / self.memory.peak_training_bytes - 1


def benchmark(models: Sequence[str]) -> dict[str, Any]:
    """Every method that trains, in every way that is measured of it."""
    content: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    content["models"] = {name: content["models"][name] for name in models}
    settings = content.pop("settings")
    own = [name for name in training_methods() if not METHODS.distributions(name)]
    brought = [name for name in METHODS if METHODS.distributions(name)]
    tasks = list(content["tasks"])
    whole: dict[str, Any] = {"whole": {}}
    grids = [(own, tasks, WAYS), (brought, tasks[:1], whole)]
    content["grids"] = [
        {
            "tasks": tasks,
            "models": list(models),
            "not_applicable": "show",
            "variants": {
                f"{name.replace(':', '-')}-{way}": {
                    "method": name,
                    "settings": settings.get(name, {}),
                    "training": training,
                }
                for name in methods
                for way, training in ways.items()
            },
        }
        for methods, tasks, ways in grids
    ]
    return content


def write_data(file: Path) -> None:
    """Reviews with a number beside their label."""
    write_reviews(file, ROWS)
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    draw = np.random.default_rng(0)
    with file.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, [*rows[0], "rating"])
        table.writeheader()
        table.writerows(row | {"rating": f"{draw.normal():.3f}"} for row in rows)


def measured(folder: Path, models: Sequence[str]) -> Iterator[Found]:
    """Prepare everything by Snakemake, and take the memory of each run in this process."""
    write_data(folder / "reviews.csv")
    (folder / "memory-all.yaml").write_text(json.dumps(benchmark(models)), encoding="utf-8")
    pipeline = Pipeline.plan_from({"benchmark": "memory-all.yaml"})
    needs = {
        path
        for run in pipeline.runs
        for path in (
            *(pipeline.run_task(run), pipeline.run_model(run)),
            *pipeline.run_encodings(run),
        )
    }
    command = ["--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", "none", "--cores", "2"]
    command += ["--config", "benchmark=memory-all.yaml", "--", *sorted(needs)]
    subprocess.run(  # noqa: S603  # our own interpreter, arguments without a shell
        [sys.executable, "-m", "snakemake", *command], check=True, capture_output=True
    )
    for name, spec in pipeline.runs.items():
        place = folder / "results" / "runs" / name
        place.mkdir(parents=True)
        yield _found(Run(spec, folder / "results" / "prepared", place, lambda _: None))
        gc.collect()


def _found(run: Run) -> Found:
    way = run.spec.variant.name.rpartition("-")[2]
    try:
        for part in stages(run):
            if memory := part.get("memory"):
                return Found(run.spec, way, memory)
    except Exception as error:  # whatever the run would end with
        return Found(run.spec, way, None, f"{type(error).__name__}: {error}".splitlines()[0])
    return Found(run.spec, way, None, "no memory was measured")


def document(found: Sequence[Found]) -> str:
    """The table, and how it was made, as Markdown."""
    packages = ("torch", "transformers", "peft")
    errors = [abs(one.error) for one in found if one.error is not None]
    off = sum(error > WITHIN for error in errors)
    ninth = float(np.quantile(errors, 0.9))
    models = ", ".join(dict.fromkeys(one.spec.model.name for one in found))
    return "\n".join(
        [
            "# Memory, predicted and measured",
            "",
            f"Made by `python -m measurements.memory` on {datetime.now(UTC):%Y-%m-%d} of {models}: "
            f"{len(errors)} of {len(found)} runs are predicted, {off} of them more than "
            f"{100 * WITHIN:g} % off; the median error is {100 * median(errors):.2f} %, nine in "
            f"ten are within {100 * ninth:.2f} %. {machine(packages)}.",
            "",
            "| method | way | runs | error | off | not predicted |",
            "|---|---|---:|---:|---:|---|",
            *_rows(found),
            NOTES,
        ]
    )


def _rows(found: Sequence[Found]) -> Iterator[str]:
    for method in dict.fromkeys(one.spec.variant.method for one in found):
        for way in WAYS:
            own = [one for one in found if (one.spec.variant.method, one.way) == (method, way)]
            if own:
                yield _row(method, way, own)


def _row(method: str, way: str, own: Sequence[Found]) -> str:
    errors = sorted(one.error for one in own if one.error is not None)
    shown = "—"
    if errors:
        shown = " ".join(f"{100 * e:+.2f} %" for e in (median(errors), errors[0], errors[-1]))
    off = sum(abs(error) > WITHIN for error in errors)
    reasons = dict.fromkeys(
        one.reason or (one.memory and one.memory.predicted_reason) or "" for one in own
    )
    reason = "; ".join(text for text in reasons if text)
    return f"| {method} | {way} | {len(own)} | {shown} | {off} | {reason} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m measurements.memory", description=__doc__)
    models = list(yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))["models"])
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--output", type=Path, default=TABLE, help="the table, Markdown")
    options = parser.parse_args(arguments)
    shut_out_working_folder()
    prepare_environment(threads=1)
    load_libraries()
    torch.set_num_threads(1)
    found = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for one in measured(Path(folder), options.models):
            found.append(one)
            error = "none" if one.error is None else f"{100 * one.error:+.2f} %"
            sys.stderr.write(f"{one.spec.cell}: {error}\n")
    write_text(options.output.absolute(), document(found))


if __name__ == "__main__":
    main()
