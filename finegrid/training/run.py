"""`python -m finegrid.training.run --spec FILE`: one run, from its specification to its record.

Exit codes: 0 the run is recorded (ok, oom, diverged or undefined), 1 it failed, 65 its data are
damaged, 74 a file cannot be read or written, 75 try again: it was interrupted and left a
checkpoint, needs more memory, or another process works on it, 78 its specification or what is
around it is wrong.
"""

import argparse
import ctypes
import logging
import os
import sys
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from finegrid.records.registry import RegistrationError, UnknownNameError
from finegrid.records.result import SPECIFICATION_FILE, Choice
from finegrid.records.specification import Specification
from finegrid.records.training import Training
from finegrid.records.tuning import choice_file, tuning_key
from finegrid.records.write import remove_unfinished
from finegrid.training.libraries import load_libraries
from finegrid.training.processes.devices import PARTS, NoDeviceError, confine, leased
from finegrid.training.processes.exits import (
    EXIT_CONFIGURATION,
    EXIT_FILES,
    EXIT_TRY_AGAIN,
    end_at_once,
)
from finegrid.training.processes.home import HUGGING_FACE, home_problem
from finegrid.training.processes.signals import Interruption, PreemptedError, interruptible
from finegrid.training.tracking import ModeError, mirror_mode

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt`, from its malloc.h."""


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
    prepare_environment(_threads(spec, options))
    if problem := home_problem(HUGGING_FACE):
        logging.error("%s: %s", spec.run, problem)
        return EXIT_CONFIGURATION
    with interruptible() as interruption:
        return _work(spec, options, interruption)


def _work(spec: Specification, options: argparse.Namespace, interruption: Interruption) -> int:
    """The run under its locks; an error is one line in the log and an exit code."""
    folder = options.results / "runs" / spec.run
    try:
        mirror_mode()
        folder.mkdir(parents=True, exist_ok=True)
        training = spec.training
        here = training.devices if training.nodes == 1 else 0  # else each node leases its own
        device = leased(training.device, interruption, here, _gpu_parts(training, options))
        with FileLock(folder / ".lock", timeout=0), device:
            remove_unfinished(folder)
            choice = _read_choice(spec, options.tuning or options.results / "tuning")
            return _run(spec, choice, folder, options, interruption)
    except Timeout:
        logging.error("%s: another process works on this run", spec.run)
        return EXIT_TRY_AGAIN
    except PreemptedError as error:
        logging.error("%s: interrupted by %s; the next attempt goes on", spec.run, error)
        return EXIT_TRY_AGAIN
    except (ChoiceError, OSError) as error:
        logging.error("%s: %s", spec.run, error)
        return EXIT_FILES
    except (RegistrationError, UnknownNameError, NoDeviceError, ModeError) as error:
        logging.error("%s: %s", spec.run, error)
        return EXIT_CONFIGURATION


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m finegrid.training.run", description=__doc__)
    parser.add_argument("--spec", required=True, help="a specification's file; - reads stdin")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where to write")
    parser.add_argument("--prepared", type=Path, help="prepared models and tasks")
    parser.add_argument("--tuning", type=Path, help="choices of tuned cells")
    parser.add_argument(
        "--threads",
        type=int,
        help="threads of all processes of a node; the specification's if unset",
    )
    parser.add_argument(
        "--gpu-parts", type=int, help=f"of a GPU's {PARTS}; those of the specification if unset"
    )
    parser.add_argument("--attempt", type=_count, default=1, help="which attempt this is, from 1")
    parser.add_argument("--attempts", type=_count, default=1, help="how many there may be")
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=600.0, help="how often the state is kept"
    )
    options = parser.parse_args(arguments)
    if not options.checkpoint_seconds >= 0:
        parser.error(f"--checkpoint-seconds {options.checkpoint_seconds}: allowed: 0 or more")
    return options


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}; allowed: 1 or more")
    return number


def read_specification(source: str) -> Specification:
    """The specification in a file, or on stdin for `-`. Raises OSError or ValidationError."""
    text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    return Specification.model_validate_json(text)


def _threads(spec: Specification, options: argparse.Namespace) -> int:
    """The threads of each process."""
    training = spec.training
    given: int | None = options.threads
    return max(1, given // training.devices_per_node) if given else training.threads


def _gpu_parts(training: Training, options: argparse.Namespace) -> int:
    """The parts of each of its GPUs that the run holds."""
    given: int | None = options.gpu_parts
    if given:
        return min(PARTS, given)
    shared = training.runs_per_device
    return PARTS if shared == "auto" else PARTS // shared


def prepare_environment(threads: int) -> None:
    """What libraries read when they are first imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ |= {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_EVALUATE_OFFLINE": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        # Else the tracker counts its use on its server, offline too.
        "WANDB_ERROR_REPORTING": "false",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        # Else torch's profiler, the meter of memory, says when it begins and ends.
        "KINETO_LOG_LEVEL": "99",
        # Else pyarrow starts a thread when it is loaded, for an allocator that it does not use.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }


def keep_freed_memory() -> None:
    """Let glibc keep what is freed: each step takes again what the one before it gave back.

    Pages that come anew from the kernel are filled with zeros first.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, -1)
        mallopt(_MMAP_MAX, 0)


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
    spec: Specification,
    choice: Choice | None,
    folder: Path,
    options: argparse.Namespace,
    interruption: Interruption,
) -> int:
    if spec.training.device == "cpu":  # elsewhere the host's memory is better given back
        keep_freed_memory()
    load_libraries(for_transformers=spec.model.widths is None)
    if spec.training.device == "cuda" and (parts := _gpu_parts(spec.training, options)) < PARTS:
        confine(parts)
    from finegrid.models.seeds import make_deterministic
    from finegrid.training.job import Job
    from finegrid.training.provenance import provenance

    threads = _threads(spec, options)
    deterministic = make_deterministic(threads, spec.training.device)
    origin = provenance(spec, threads=threads, deterministic=deterministic)
    spec.write(folder / SPECIFICATION_FILE)
    return Job(
        planned=spec,
        choice=choice,
        origin=origin,
        prepared=options.prepared or options.results / "prepared",
        folder=folder,
        interruption=interruption,
        checkpoint_seconds=options.checkpoint_seconds,
        is_tried_again=options.attempt < options.attempts,
    ).perform()


if __name__ == "__main__":
    end_at_once(main())
