"""Results to one tidy table: a row a planned run, empty where there is no value.

python -m analysis.collect --plan FILE --runs DIR --output FILE.csv
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import JsonValue

from analysis.comparability import cost_fields, fingerprint, fingerprint_fields, libraries
from analysis.errors import AnalysisError, one_line_errors
from analysis.frame import (
    COMPARABLE,
    CONDITION,
    COSTS_OF,
    COUNTED,
    DEQUANTISED,
    DRAWN,
    KEPT_HEAD,
    LIBRARY,
    SELECTED,
    SETTING,
    STRIPPED,
    TASK_REMARKS,
    TRIALS,
    TUNED,
    tidy,
    write_table,
)
from analysis.reading import check_files, read_record, set_aside
from finegrid.records.base import Record
from finegrid.records.costs import Inference, Memory, Time
from finegrid.records.identity import canonical_json
from finegrid.records.place import record_file
from finegrid.records.plan import Cell, Plan
from finegrid.records.result import (
    FAILURE_FILE,
    RESULT_FILE,
    Choice,
    Losses,
    Metrics,
    Norms,
    Parameters,
    Result,
    Tracking,
    Trial,
    Trivial,
)
from finegrid.records.specification import LEARNING_RATE, Specification, keeps_head
from finegrid.records.tuning import effective

Row = dict[str, Any]
_SCORES = (
    *("metric", "test_score", "n_test", "test_item_error"),
    *("validation_score", "n_validation", "best_step"),
)


def collect(plan: Plan, runs: Path) -> pd.DataFrame:
    """One row a planned run, in the order of the plan, from the records below the folder `runs`.

    Units stand in the column names. A value that does not exist is missing. Raises AnalysisError
    that names, a line each, the files whose record is invalid or belongs to another specification,
    and those that are not what their record says.
    """
    if not plan.cells:
        raise AnalysisError(f"the plan of {plan.benchmark} holds no cell")
    if plan.runs and not runs.is_dir():
        raise AnalysisError(f"{runs}: there is no such folder of runs")
    problems: list[AnalysisError] = []
    rows = [row for cell in plan.cells for row in _cell_rows(plan.benchmark, cell, runs, problems)]
    if problems:
        raise AnalysisError.of(problems)
    return tidy(rows)


def ledger(plan: Plan, runs: Path) -> pd.DataFrame:
    """One row a trial of each tuned cell, from the records of its runs, in the order of the plan.

    `value_<key>` holds the tuned values, `score` the one on validation, `chosen` whether the trial
    won, `edge` where the best score lies at one, `grown` whether it lies beyond the grid. A cell
    whose runs have no record has no rows.
    Raises AnalysisError as `collect` does, and where two runs of a cell were tuned differently.
    """
    tunings = [spec.tuning for spec in plan.runs.values() if spec.tuning is not None]
    keys = dict.fromkeys(TUNED + key for tuning in tunings for key in tuning.grid)
    rows = [row for cell in plan.cells for row in _trial_rows(plan.benchmark, cell, runs)]
    return tidy(rows, [*TRIALS, *keys])


def _trial_rows(benchmark: str, cell: Cell, runs: Path) -> list[Row]:
    files = [path for run in cell.runs if (path := record_file(runs, run))]
    found = [choice for path in files if (choice := read_record(Result, path).tuning)]
    choices = {canonical_json(choice): choice for choice in found}.values()
    if len(choices) > 1:
        raise AnalysisError(f"{files[0]}: its tuning is not that of the cell's other runs")
    return [
        _identity(benchmark, cell) | _trial_row(trial, choice, cell)
        for choice in choices
        for trial in choice.trials
    ]


def _trial_row(trial: Trial, choice: Choice, cell: Cell) -> Row:
    score, tuning = trial.score, next(iter(cell.runs.values())).tuning
    return {
        "run": trial.run,
        "seed": None if tuning is None else tuning.seed,
        "state": trial.state,
        "reason": trial.reason,
        "metric": choice.metric,
        "score": None if score is None else score.value,
        "n": None if score is None else score.n,
        "chosen": trial.run == choice.chosen_run,
        "edge": choice.edge if trial.run == (choice.best_run or choice.chosen_run) else None,
        "grown": trial.run not in cell.trials,
        **{TUNED + key: _scalar(value) for key, value in trial.values.items()},
    }


def _scalar(value: JsonValue) -> JsonValue:
    """A tuned value as it stands in one field of a table."""
    return canonical_json(value) if isinstance(value, list | dict) else value


def _cell_rows(benchmark: str, cell: Cell, runs: Path, problems: list[AnalysisError]) -> list[Row]:
    """What is wrong with its records is added to the problems."""
    identity = _identity(benchmark, cell)
    if cell.not_applicable is not None or not cell.runs:
        state = "missing" if cell.not_applicable is None else "not-applicable"
        reason = cell.not_applicable or "the plan holds no run of this cell"
        return [identity | _row(None, None, state, reason)]
    rows = []
    for run, spec in cell.runs.items():
        try:
            rows.append(identity | _run_row(run, spec, runs))
        except AnalysisError as error:
            problems.append(error)
    return rows


def _identity(benchmark: str, cell: Cell) -> Row:
    return {
        "benchmark": benchmark,
        "task": cell.task,
        "model": cell.model,
        "variant": cell.variant,
        "method": cell.method,
    }


def _run_row(run: str, spec: Specification, runs: Path) -> Row:
    path = record_file(runs, run)
    if path is None:
        return _row(run, spec, "missing", f"no {RESULT_FILE}")
    result = read_record(Result, path)
    if result.run != run or result.spec != spec:
        raise AnalysisError(f"{path}: its specification is not the plan's for run {run}")
    if path.name == FAILURE_FILE and result.state == "ok":
        raise AnalysisError(f"{path}: the record of a failure has state ok")
    check_files(result, path)
    try:
        return _row(run, spec, result.state, result.reason, result)
    except KeyError as error:
        raise AnalysisError(f"{path}: no score of the primary metric {error}") from error


def _row(
    run: str | None,
    spec: Specification | None,
    state: str,
    reason: str | None,
    result: Result | None = None,
) -> Row:
    """A row with every column, so that all tables have the same ones."""
    choice = getattr(result, "tuning", None)
    return {
        "run": run,
        "seed": None if spec is None else spec.seed,
        "state": state,
        "reason": reason,
        **_outcome(result),
        "learning_rate": None if spec is None else _learning_rate(spec, choice),
        "tuning_trials": None if choice is None else len(choice.trials),
        "tuning_grown": None if choice is None else choice.grown,
        "tuning_edge": None if choice is None else choice.edge,
        "tuning_rule": None if choice is None else choice.rule,
        **_tuning(spec),
        **_provenance(result),
        **_base(spec, result),
        **_settings(spec if result is None else effective(result)),
    }


def _tuning(spec: Specification | None) -> Row:
    """The seed of the trials, and what they train differently from the runs."""
    tuning = None if spec is None else spec.tuning
    return {
        "tuning_seed": None if tuning is None else tuning.seed,
        "tuning_training": canonical_json(tuning.training) if tuning and tuning.training else None,
    }


def _learning_rate(spec: Specification, choice: Choice | None) -> float | None:
    """The one that the run trained with; None where its tuning has not chosen, or chose none."""
    if spec.tuning is None:
        return spec.training.learning_rate
    if choice is None or choice.chosen is None:
        return None
    return float(str(choice.chosen[LEARNING_RATE]))


def _outcome(result: Result | None) -> Row:
    return {
        "failed_step": getattr(result, "failed_step", None),
        **_scores(getattr(result, "metrics", None)),
        **_parameters(getattr(result, "parameters", None)),
        **_memory(getattr(result, "memory", None)),
        "memory_reason": getattr(result, "memory_reason", None),
        **_fields(Time, getattr(result, "time", None)),
        **_inference(getattr(result, "inference", None)),
        **_measured_by(result),
        **_fields(Losses, getattr(result, "losses", None), "loss_{}".format),
        **_fields(Norms, getattr(result, "gradients", None), "gradient_norm_{}".format),
    }


def _scores(metrics: Metrics | None) -> Row:
    if metrics is None:
        return dict.fromkeys(_SCORES) | _trivial(None, "")
    test, validation = metrics.test[metrics.primary], metrics.validation[metrics.selector]
    return {
        "metric": metrics.primary,
        "test_score": test.value,
        "n_test": test.n,
        "test_item_error": test.standard_error,
        "validation_score": validation.value,
        "n_validation": validation.n,
        "best_step": metrics.best_step,
        **_trivial(metrics.trivial, metrics.primary),
        **_counted(metrics),
        **({SELECTED: metrics.selected_by} if metrics.selected_by else {}),
        **{f"test_score_{name}": score.value for name, score in metrics.test.items()},
        **{f"validation_score_{name}": score.value for name, score in metrics.validation.items()},
    }


def _counted(metrics: Metrics) -> Row:
    """What there is to say of the test predictions; no column where there is nothing."""
    text = ", ".join(f"{count} {what}" for what, count in metrics.counted.items())
    return {COUNTED: text} if text else {}


def _trivial(part: Trivial | None, primary: str) -> Row:
    score = part.test[primary] if part else None
    return {
        "trivial_predictor": part.predictor if part else None,
        "trivial_score": score.value if score else None,
    }


def _parameters(part: Parameters | None) -> Row:
    return _fields(Parameters, part, lambda name: name if _is_bytes(name) else f"{name}_parameters")


def _memory(part: Memory | None) -> Row:
    row = _fields(Memory, part, lambda name: name if _is_bytes(name) else f"memory_{name}")
    examples, tokens = row.pop("memory_batch") or (None, None)
    row.pop("memory_terms", None)
    return {**row, "memory_batch_examples": examples, "memory_batch_tokens": tokens}


def _inference(part: Inference | None) -> Row:
    row = _fields(Inference, part, "inference_{}".format)
    return {name: value for name, value in row.items() if not name.endswith("_ratios")}


def _measured_by(result: Result | None) -> Row:
    """The run that measured the costs; there is no such column where each run did."""
    return {COSTS_OF: result.costs_of} if result and result.costs_of else {}


def _fields(kind: type[Record], part: Record | None, label: Callable[[str], str] = str) -> Row:
    """Every field of a record under its label; all missing where there is no record."""
    return {label(name): getattr(part, name, None) for name in kind.model_fields}


def _is_bytes(name: str) -> bool:
    return name.endswith("_bytes")


def _provenance(result: Result | None) -> Row:
    if result is None:
        return {"fingerprint": None, "cost_fingerprint": None}
    provenance = result.provenance
    fields, costs = fingerprint_fields(result), cost_fields(result)
    return {
        "fingerprint": fingerprint(fields),
        "cost_fingerprint": fingerprint(costs),
        **{COMPARABLE + key: value for key, value in fields.items()},
        **{LIBRARY + key: value for key, value in libraries(result).items()},
        **{CONDITION + key: value for key, value in costs.items()},
        "system": provenance.machine.system,
        "git_commit": provenance.git_commit,
        "git_dirty": provenance.git_dirty,
        "source_digest": provenance.source_digest,
        "started_at": provenance.started_at,
        "mirror_warning": _mirror_warning(result.tracking),
    }


def _base(spec: Specification | None, result: Result | None) -> Row:
    """What is unusual about a checkpoint, or a task; there is no such column where nothing is."""
    kept = spec is not None and keeps_head(spec.model)
    drawn = result.provenance.drawn_modules if result else ()
    stripped = result.provenance.stripped if result else ()
    remarks = result.provenance.task_remarks if result else ()
    found = {
        KEPT_HEAD: kept or None,
        DRAWN: " ".join(drawn),
        STRIPPED: " ".join(stripped),
        DEQUANTISED: result.provenance.dequantised if result else None,
        TASK_REMARKS: "; ".join(remarks),
    }
    return {key: value for key, value in found.items() if value}


def _mirror_warning(tracking: Tracking | None) -> str | None:
    """Why the run has no whole mirror, in one line."""
    return " ".join(tracking.warning.split()) if tracking and tracking.warning else None


def _settings(spec: Specification | None) -> Row:
    settings = {} if spec is None else spec.variant.settings
    return {
        SETTING + key: value
        for key, value in settings.items()
        if isinstance(value, str | int | float | bool)
    }


def main() -> None:
    """The command line. Damaged records go into quarantine."""
    parser = argparse.ArgumentParser(prog="analysis.collect", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="the folder of all runs")
    parser.add_argument("--output", type=Path, required=True, help="the runs table, CSV")
    parser.add_argument(
        "--allow-missing", action="store_true", help="show runs without a record as missing"
    )
    arguments = parser.parse_args()
    with one_line_errors():
        plan = read_record(Plan, arguments.plan)
        frame = _collected(plan, arguments.runs, allow_missing=arguments.allow_missing)
        write_table(frame, arguments.output)
        if plan.trials:
            stem = arguments.output.name.removesuffix("-runs.csv")
            trials = ledger(plan, arguments.runs)
            write_table(trials, arguments.output.with_name(f"{stem}-tuning.csv"))


def _collected(plan: Plan, runs: Path, *, allow_missing: bool) -> pd.DataFrame:
    try:
        frame = collect(plan, runs)
    except AnalysisError as error:
        raise AnalysisError("\n".join([str(error), *set_aside(error.damaged)])) from error
    missing = frame.loc[frame["state"] == "missing", "run"].dropna()
    if not allow_missing and not missing.empty:
        raise AnalysisError("\n".join(f"{runs / run}: no {RESULT_FILE}" for run in missing))
    return frame


if __name__ == "__main__":
    main()
