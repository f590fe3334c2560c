"""The synthetic benchmark with every cell tuned."""

from pathlib import Path

from finegrid.records.plan import Cell, Plan
from finegrid.records.result import RESULT_FILE, Metrics, Score, Trial, Values
from finegrid.records.specification import LEARNING_RATE, Specification, Tuning
from finegrid.records.tuning import Judge, candidates, choose, trial, tuning_key
from tests.analysis.benchmark import bad_result, make_plan, ok_result

# variant -> validation score of the trial at each learning rate; None: it diverged
TRIALS: dict[str, dict[float, float | None]] = {
    "everything": {1e-3: 0.5, 3e-3: 0.7, 1e-2: 0.6},
    "small-2": {1e-3: 0.5, 3e-3: 0.6, 1e-2: 0.7, 3e-2: None},
    "small-8": {1e-3: 0.5, 3e-3: 0.6, 1e-2: 0.7, 3e-2: 0.8},
    "top": {3.33e-4: 0.8, 1e-3: 0.7, 3e-3: 0.6, 1e-2: 0.5},
    "bulky": {1e-3: None, 3e-3: None, 1e-2: None},
    "unfit": {},
}
"""A tuning of three learning rates, which grew by one where the best lay at an edge."""
TUNING = Tuning(
    seed=100,
    grid={LEARNING_RATE: (1e-3, 3e-3, 1e-2)},
    ratio=3.0,
    grow=True,
    training={"epochs": 1},
)


def make_tuned_plan() -> Plan:
    """The plan of `make_plan` with every cell tuned."""
    plan = make_plan()
    return plan.model_copy(update={"cells": tuple(tuned_cell(cell) for cell in plan.cells)})


def tuned_cell(cell: Cell, tuning: Tuning = TUNING) -> Cell:
    specs = [spec.model_copy(update={"tuning": tuning}) for spec in cell.runs.values()]
    planned = [trial(spec, values) for spec in specs[:1] for values in candidates(tuning)]
    return cell.model_copy(
        update={
            "runs": {spec.run: spec for spec in specs},
            "trials": {spec.run: spec for spec in planned},
        }
    )


def fill_tuned(plan: Plan, runs: Path) -> None:
    """The records of all trials and runs; those of `bulky` diverged, for nothing was chosen."""
    for cell in plan.cells:
        specs = list(cell.runs.values())
        tried = [
            tried_at(trial(spec, {LEARNING_RATE: rate}), score, runs)
            for spec in specs[:1]
            for rate, score in TRIALS[cell.variant].items()
        ]
        for spec in specs:
            grown = len(tried) - len(cell.trials)
            choice = choose(tuning_key(spec), Judge("accuracy", 1), tried, grown)
            if choice.chosen:
                ok_result(spec, choice).write(runs / spec.run / RESULT_FILE)
                continue
            ended = bad_result(spec, "diverged", "no trial of its tuning has a score")
            ended.model_copy(update={"tuning": choice}).write(runs / spec.run / RESULT_FILE)


def tried_at(spec: Specification, score: float | None, runs: Path) -> Trial:
    """The record of a trial, and its line in the ledger."""
    rate: Values = {LEARNING_RATE: spec.training.learning_rate}
    if score is None:
        result = bad_result(spec, "diverged", "the loss was nan")
        result.write(runs / spec.run / RESULT_FILE)
        return Trial(run=spec.run, values=rate, state="diverged", reason=result.reason)
    found = Score(value=score, n=100, standard_error=(score * (1 - score) / 100) ** 0.5)
    metrics = Metrics(primary="accuracy", validation={"accuracy": found}, test={}, best_step=1)
    result = ok_result(spec.model_copy(update={"role": "run"}))
    fields = {"run": spec.run, "spec": spec, "metrics": metrics}
    result.model_copy(update=fields).write(runs / spec.run / RESULT_FILE)
    return Trial(run=spec.run, values=rate, state="ok", score=found)
