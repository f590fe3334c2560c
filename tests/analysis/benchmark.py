"""A small synthetic benchmark, written as real records."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finegrid.records.costs import Inference, Memory, Time
from finegrid.records.plan import Cell, Plan
from finegrid.records.prepared import (
    MANIFEST_FILE,
    SPLITS,
    Overlap,
    PreparedTask,
    SharedExample,
    Split,
)
from finegrid.records.result import (
    FAILURE_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    Choice,
    Gradients,
    Machine,
    Metrics,
    Parameters,
    Provenance,
    Result,
    Score,
    Trivial,
)
from finegrid.records.specification import RandomModel, Source, Specification, Task, Variant
from finegrid.records.training import Training

SEEDS = (0, 1, 2)
BASE = 1_000_000
# variant -> method, settings, trainable parameters, the score of the first seed
VARIANTS: dict[str, tuple[str, dict[str, Any], int, float]] = {
    "everything": ("all", {}, 1_000_000, 0.90),
    "small-2": ("small", {"rank": 2, "scale": 4.0, "targets": ["a", "b"]}, 6_000, 0.80),
    "small-8": ("small", {"rank": 8, "scale": 16.0, "targets": ["a", "b"]}, 24_000, 0.86),
    "top": ("top", {"bias": True, "shape": "wide"}, 1_500, 0.70),
    "bulky": ("bulky", {}, 2_000_000, 0.50),
    "unfit": ("unfit", {}, 0, 0.0),
}
STEPS = 60


def specification(task: str, variant: str, seed: int, learning_rate: float = 1e-3) -> Specification:
    method, settings, _, _ = VARIANTS[variant]
    return Specification(
        task=Task(name=task, task="synthetic", source=Source(uri="path:data")),
        model=RandomModel(
            kind="random", name="tiny", configuration={}, tokenizer=Source(uri="path:tokens")
        ),
        variant=Variant(name=variant, method=method, settings=settings),
        training=Training(learning_rate=learning_rate, epochs=2, batch_size=16, max_length=64),
        seed=seed,
    )


def run_of(task: str, variant: str, seed: int) -> str:
    """The identity of a run."""
    return specification(task, variant, seed).run


def rewrite(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change a record's JSON in place."""
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))


def provenance(task: str, seed: int) -> Provenance:
    return Provenance(
        git_commit="c" * 40,
        git_dirty=False,
        source_digest="d" * 64,
        packages={"torch": "2.10", "transformers": "5.1", "numpy": "2.4"},
        python="3.11.9",
        machine=Machine(
            hostname="somewhere",
            system="Linux",
            processor="Example <CPU> & Co",
            cores=2,
            memory_bytes=10**10,
            accelerator=None,
        ),
        device="cpu",
        threads=1,
        dtype="fp32",
        deterministic=True,
        seeds={"run": seed},
        data_sha256=("a" if task == "letters" else "b") * 64,
        model_sha256="e" * 64,
        started_at="2026-01-01T00:00:00Z",
    )


def ok_result(spec: Specification, choice: Choice | None = None) -> Result:
    _, _, trainable, score = VARIANTS[spec.variant.name]
    score += 0.01 * spec.seed - (0.1 if spec.task.name == "words" else 0)
    return Result(
        run=spec.run,
        spec=spec,
        state="ok",
        tuning=choice,
        metrics=Metrics(
            primary="accuracy",
            validation={"accuracy": Score(value=score + 0.005, n=100)},
            test={"accuracy": Score(value=score, n=200), "f1": Score(value=score / 2, n=200)},
            best_step=STEPS,
            trivial=trivial(spec.task.name),
        ),
        parameters=parameters(trainable),
        memory=memory(trainable, spec.seed),
        time=Time(
            setup_seconds=0.5,
            train_seconds=10.0 + spec.seed,
            evaluate_seconds=1.0,
            step_median_seconds=0.1,
            step_p95_seconds=0.2,
            tokens_per_second=2000.0,
            examples_per_second=100.0 + 10 * spec.seed,
            steps=STEPS,
        ),
        inference=Inference(batch_examples=64, unmerged_seconds=0.02, merged_seconds=0.01),
        gradients=Gradients(first=2.0, minimum=0.5, median=1.0, maximum=3.0, last=0.6),
        provenance=provenance(spec.task.name, spec.seed),
    )


def trivial(task: str) -> Trivial:
    """Of one task the majority class is right in 0.4 of the examples, and f1 has no value."""
    share = Score(value=0.4 if task == "letters" else 0.35, n=200)
    return Trivial(predictor="majority class", prediction=1.0, test={"accuracy": share, "f1": None})


def parameters(trainable: int) -> Parameters:
    parts = dict.fromkeys(("norm", "bias", "embedding", "rest"), 0)
    head = min(500, trainable)
    return Parameters(
        base=BASE,
        trainable=trainable,
        expected=trainable,
        adapter=trainable - head,
        head=head,
        stored=trainable,
        stored_bytes=4 * trainable,
        **parts,
    )


def memory(trainable: int, seed: int) -> Memory:
    weights, gradients, optimizer, activations = 4 * BASE, 4 * trainable, 8 * trainable, 3_000_000
    peak = weights + gradients + optimizer + activations + 10_000 * seed
    return Memory(
        instrument="cpu-allocator-events",
        weights_bytes=weights,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        activations_bytes=activations,
        peak_load_bytes=weights,
        peak_forward_bytes=peak,
        peak_backward_bytes=peak,
        peak_step_bytes=peak,
        peak_evaluate_bytes=weights,
        peak_training_bytes=peak,
        batch=(16, 1024),
    )


def bad_result(spec: Specification, state: str, reason: str) -> Result:
    origin = provenance(spec.task.name, spec.seed)
    fields = {"run": spec.run, "spec": spec, "state": state, "reason": reason, "provenance": origin}
    return Result.model_validate(fields, strict=False)


def history(spec: Specification) -> str:
    records: list[dict[str, Any]] = []
    for step in range(1, STEPS + 1):
        loss = 2.0 * 0.97**step + 0.05 * spec.seed + (0.1 if step % 2 else 0.0)
        records.append(
            {"step": step, "loss": loss, "gradient_norm": 1.0, "learning_rate": 0.1, "seconds": 0.1}
        )
        if step % 20 == 0:
            records.append({"step": step, "validation": {"accuracy": 1 - 0.9**step, "f1": 0.0}})
    return "".join(json.dumps(record) + "\n" for record in records)


def make_plan(variants: tuple[str, ...] = tuple(VARIANTS)) -> Plan:
    cells = []
    for task in ("letters", "words"):
        for variant in variants:
            specs = [specification(task, variant, seed) for seed in SEEDS]
            unfit = variant == "unfit"
            cells.append(
                Cell(
                    task=task,
                    model="tiny",
                    variant=variant,
                    method=VARIANTS[variant][0],
                    not_applicable="needs attention <layers> & has none" if unfit else None,
                    runs={} if unfit else {spec.run: spec for spec in specs},
                )
            )
    return Plan(benchmark="demo", description="Two <tasks> & one model.", cells=tuple(cells))


def fill(plan: Plan, runs: Path) -> None:
    """All runs ok, except for the seeds of `bulky`: oom, diverged and failed."""
    for run, spec in plan.runs.items():
        if spec.variant.name == "bulky":
            state = ("oom", "diverged", "failed")[spec.seed]
            name = FAILURE_FILE if state == "failed" else RESULT_FILE
            bad_result(spec, state, f"it was {state} <b>").write(runs / run / name)
            continue
        ok_result(spec).write(runs / run / RESULT_FILE)
        (runs / run / HISTORY_FILE).write_text(history(spec))
        predictions(ok_result(spec)).to_parquet(runs / run / PREDICTIONS_FILE)


def predictions(result: Result) -> pd.DataFrame:
    """The test items of an ok run, of which it has the first ones right; a validation item more.

    Odd seeds hold them in reverse.
    """
    assert result.metrics is not None
    test = result.metrics.test["accuracy"]
    label = np.arange(test.n) % 3
    right = np.arange(test.n) < round(test.n * test.value)
    items = pd.DataFrame(
        {
            "split": "test",
            "id": [f"t{item}" for item in range(test.n)],
            "label": label.astype(float),
            "prediction": np.where(right, label, label + 1).astype(float),
        }
    )
    spare = pd.DataFrame({"split": ["validation"], "id": ["t0"], "label": 0.0, "prediction": 1.0})
    return pd.concat([spare, items[:: -1 if result.spec.seed % 2 else 1]], ignore_index=True)


def prepare(plan: Plan, prepared: Path) -> None:
    """The manifests of the plan's tasks. The letters hold one exact and one near duplicate."""
    for spec in plan.runs.values():
        leaks = spec.task.name == "letters"
        pair = SharedExample(first="a<1>", second="b2", similarity=0.9)
        split = Split(n=200, sha256="a" * 64, file_sha256="b" * 64)
        PreparedTask(
            key=spec.task.key,
            spec=spec.task,
            kind="text-classification" if leaks else "tabular-regression",
            labels=(),
            metrics=("accuracy",),
            splits=dict.fromkeys(SPLITS, split),
            overlaps=(
                Overlap(
                    first="train",
                    second="test",
                    definition="exact: the <same>",
                    exact=int(leaks),
                    near=1 if leaks else None,
                    fraction=0.01 if leaks else 0.0,
                    examples=(pair,) if leaks else (),
                ),
            ),
            sha256="c" * 64,
        ).write(prepared / "tasks" / spec.task.key / MANIFEST_FILE)
