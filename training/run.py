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

from records.result import SPECIFICATION_FILE
from records.specification import Specification

EXIT_TRY_AGAIN, EXIT_CONFIGURATION = 75, 78


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and say in one line how it ended."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    options = _parse(arguments)
    try:
        spec = _read_specification(options.spec)
    except (OSError, ValidationError) as error:
        logging.error("%s: no specification of a run: %s", options.spec, error)
        return EXIT_CONFIGURATION
    _prepare_environment(options.threads or spec.training.threads)
    folder = options.results / "runs" / spec.run
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            return _run(spec, options.prepared or options.results / "prepared", folder, options)
    except Timeout:
        logging.error("%s: another process works on this run", spec.run)
        return EXIT_TRY_AGAIN


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.run", description=__doc__)
    parser.add_argument("--spec", required=True, help="a specification's file; - reads stdin")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where to write")
    parser.add_argument("--prepared", type=Path, help="prepared models and tasks")
    parser.add_argument("--threads", type=int, help="threads to use; the specification's if unset")
    return parser.parse_args(arguments)


def _read_specification(source: str) -> Specification:
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


def _run(spec: Specification, prepared: Path, folder: Path, options: argparse.Namespace) -> int:
    from training.experiment import Experiment
    from training.provenance import provenance
    from training.record import conclude, write_result
    from training.seeds import make_deterministic
    from training.tracking import Tracker

    threads = options.threads or spec.training.threads
    deterministic = make_deterministic(threads, spec.training.device)
    origin = provenance(spec, threads=threads, deterministic=deterministic)
    spec.write(folder / SPECIFICATION_FILE)
    tracker = Tracker(spec, folder)
    experiment = Experiment(spec, prepared, folder, tracker.log)
    ending = conclude(experiment.perform)
    result = experiment.result(ending, origin)
    tracker.finish(result)
    write_result(result.model_copy(update={"tracking": tracker.record()}), folder)
    logging.info("%s: %s%s", spec.run, ending.state, f" ({ending.reason})" if ending.reason else "")
    return ending.exit_code


if __name__ == "__main__":
    sys.exit(main())
