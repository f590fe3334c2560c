"""`python -m training.run --spec FILE`: one run, from its specification to its record.

Exit codes: 0 the run is recorded (ok, oom or diverged), 1 it failed, 65 its data are damaged,
74 a file cannot be read or written, 75 another process works on it, 78 its specification is wrong.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from records.registry import RegistrationError, UnknownNameError
from records.result import SPECIFICATION_FILE, Choice
from records.specification import Specification
from records.tuning import choice_file, tuned, tuning_key

EXIT_FILES, EXIT_TRY_AGAIN, EXIT_CONFIGURATION = 74, 75, 78


class ChoiceError(Exception):
    """The tuned values of a run are not there to be read."""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and say in one line how it ended."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = _parse(arguments)
    try:
        spec = read_specification(options.spec)
    except (OSError, ValidationError) as error:
        logging.error("%s: no specification of a run: %s", options.spec, error)
        return EXIT_CONFIGURATION
    _prepare_environment(options.threads or spec.training.threads)
    folder = options.results / "runs" / spec.run
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            choice = _read_choice(spec, options.tuning or options.results / "tuning")
            return _run(spec, choice, folder, options)
    except ChoiceError as error:
        logging.error("%s: %s", spec.run, error)
        return EXIT_FILES
    except Timeout:
        logging.error("%s: another process works on this run", spec.run)
        return EXIT_TRY_AGAIN
    except (RegistrationError, UnknownNameError) as error:
        logging.error("%s: %s", spec.run, error)
        return EXIT_CONFIGURATION


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.run", description=__doc__)
    parser.add_argument("--spec", required=True, help="a specification's file; - reads stdin")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where to write")
    parser.add_argument("--prepared", type=Path, help="prepared models and tasks")
    parser.add_argument("--tuning", type=Path, help="choices of tuned cells")
    parser.add_argument("--threads", type=int, help="threads to use; the specification's if unset")
    return parser.parse_args(arguments)


def read_specification(source: str) -> Specification:
    """The specification in a file, or on stdin for `-`. Raises OSError or ValidationError."""
    text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    return Specification.model_validate_json(text)


def _prepare_environment(threads: int) -> None:
    """What libraries read when they are first imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ |= {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_EVALUATE_OFFLINE": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def _read_choice(spec: Specification, folder: Path) -> Choice | None:
    """What the cell's tuning chose; None for a run that is not tuned. Raises ChoiceError."""
    if spec.tuning is None:
        return None
    path = folder / choice_file(spec)
    try:
        choice = Choice.read(path)
    except (OSError, ValidationError) as error:
        raise ChoiceError(f"{path}: no choice of tuned values: {error}") from error
    if choice.key != tuning_key(spec):
        raise ChoiceError(f"{path}: it is the choice of {choice.key}")
    return choice


def _run(
    planned: Specification, choice: Choice | None, folder: Path, options: argparse.Namespace
) -> int:
    from training.experiment import Experiment
    from training.provenance import provenance
    from training.record import conclude, unchosen, write_result
    from training.seeds import make_deterministic
    from training.tracking import Tracker

    threads = options.threads or planned.training.threads
    deterministic = make_deterministic(threads, planned.training.device)
    origin = provenance(planned, threads=threads, deterministic=deterministic)
    planned.write(folder / SPECIFICATION_FILE)
    spec = tuned(planned, choice.chosen) if choice and choice.chosen else planned
    tracker = Tracker(planned, folder, spec)
    experiment = Experiment(
        spec, options.prepared or options.results / "prepared", folder, tracker.log
    )
    ending = unchosen(choice) or conclude(experiment.perform)
    result = experiment.result(planned, choice, ending, origin)
    tracker.finish(result)
    write_result(result.model_copy(update={"tracking": tracker.record()}), folder)
    reason = f" ({ending.reason})" if ending.reason else ""
    logging.info("%s: %s%s", planned.run, ending.state, reason)
    return ending.exit_code


if __name__ == "__main__":
    sys.exit(main())
