"""`python -m finegrid.training.tune --spec FILE`: choose the tuned values of a cell by its trials.

The trials of the grid have run; those beyond its edge, where the benchmark asks for them, run here.
Exit codes: 0 the choice is recorded, 74 a file cannot be read or written, 78 the specification is
wrong, and what a trial ends with that is not recorded: 75 where it was interrupted.
"""

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from finegrid.metrics.registry import metric
from finegrid.records.identity import canonical_json
from finegrid.records.prepared import MANIFEST_FILE, PreparedTask
from finegrid.records.registry import UnknownNameError
from finegrid.records.result import RESULT_FILE, Choice, Result, Trial, Values
from finegrid.records.specification import Specification, Tuning
from finegrid.records.tuning import (
    Judge,
    beyond,
    candidates,
    choice_file,
    choose,
    trial,
    tuning_key,
)
from finegrid.training.processes.exits import EXIT_CONFIGURATION, EXIT_FILES
from finegrid.training.processes.signals import attended, interruptible
from finegrid.training.run import read_specification
from kinds.registry import kind_named

_HOW = {
    "threads": "threads of a trial that runs here",
    "attempt": "which attempt it is, from 1",
    "attempts": "how many there may be",
    "gpu-parts": "of a GPU, for such a trial; 0 for those of its specification",
}


class TrialError(Exception):
    """A trial that had to run here left no record."""

    def __init__(self, run: str, code: int) -> None:
        super().__init__(f"{run}: the trial ended with exit code {code}")
        self.code = code


def tune(spec: Specification, results: Path, how: Sequence[str]) -> Choice:
    """The choice of a cell by its recorded trials; the grid grows once if it is to.

    `how` is what a trial that has to run here is told beside its specification.

    Raises OSError or pydantic.ValidationError for a trial without a record, and TrialError.
    """
    if spec.tuning is None:
        raise ValueError(f"{spec.run} is not tuned")
    manifest = results / "prepared" / "tasks" / spec.task.key / MANIFEST_FILE
    key, judge = tuning_key(spec), _judge(PreparedTask.read(manifest))
    tried = [_outcome(spec, values, results) for values in candidates(spec.tuning)]
    choice = choose(key, judge, tried)
    if choice.edge is None or not spec.tuning.grow:
        return choice
    added = _run_trials(spec, beyond(spec.tuning, choice.edge), results, how)
    return choose(key, judge, [*tried, *added], grown=len(added))


def _judge(task: PreparedTask) -> Judge:
    output = kind_named(task.kind, task.kind_options).output
    name = output.validated(task.metrics)[0]
    return Judge(name, metric(name).sign)


def _outcome(spec: Specification, values: Values, results: Path) -> Trial:
    run = trial(spec, values).run
    result = Result.read(results / "runs" / run / RESULT_FILE)
    metrics = result.metrics
    return Trial(
        run=run,
        values=values,
        state=result.state,
        reason=result.reason,
        score=metrics.validation[metrics.selector] if metrics else None,
    )


def _run_trials(
    spec: Specification, tuning: Tuning, results: Path, how: Sequence[str]
) -> list[Trial]:
    tried = []
    for values in candidates(tuning):
        one = trial(spec, values)
        if _is_recorded(one, results):
            tried.append(_outcome(spec, values, results))
            continue
        logging.info("%s: the best lies at the edge, so this is tried too", one.run)
        command = [sys.executable, "-m", "finegrid.training.processes.client", "--spec", "-"]
        command += ["--results", str(results), *how]
        if code := _run_trial(command, canonical_json(one).encode()):
            raise TrialError(one.run, code)
        tried.append(_outcome(spec, values, results))
    return tried


def _is_recorded(one: Specification, results: Path) -> bool:
    """Whether an earlier attempt has made the trial, from the source of now.

    Snakemake knows of no trial beyond the grid: after a preemption it runs the whole choice again.
    """
    from finegrid.training.provenance import spec_digest

    try:
        result = Result.read(results / "runs" / one.run / RESULT_FILE)
    except (OSError, ValueError):
        return False
    return result.spec == one and result.provenance.source_digest == spec_digest(one)


def _run_trial(command: Sequence[str], text: bytes) -> int:
    """The exit code of a trial's own process, which is told when this one is asked to end."""
    with (
        interruptible() as interruption,
        subprocess.Popen(command, stdin=subprocess.PIPE) as process,  # noqa: S603
    ):
        attended(process, text, interruption)
        return process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, choose, and say in one line what was chosen."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m finegrid.training.tune", description=__doc__)
    parser.add_argument("--spec", required=True, help="a tuned specification; - reads stdin")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where trials lie")
    for name, meaning in _HOW.items():
        parser.add_argument(f"--{name}", dest=name, type=int, help=meaning)
    options = parser.parse_args(arguments)
    given = {name: value for name in _HOW if (value := getattr(options, name)) is not None}
    how = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    try:
        spec = read_specification(options.spec)
        choice = tune(spec, options.results, how)
        choice.write(options.results / "tuning" / choice_file(spec))
    except (ValueError, UnknownNameError) as error:
        logging.error("%s", error)
        return EXIT_CONFIGURATION
    except OSError as error:
        logging.error("%s", error)
        return EXIT_FILES
    except TrialError as error:
        logging.error("%s", error)
        return error.code
    logging.info("%s: %s", choice.key, choice.chosen or "no trial has a score")
    return 0


if __name__ == "__main__":
    sys.exit(main())
