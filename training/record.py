"""How a run ends, and its record."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from records.result import FAILURE_FILE, RESULT_FILE, Choice, Result, State
from training.evaluation import UndefinedScoreError
from training.loop import DivergedError
from training.models import CorruptedFileError

EXIT_FAILED, EXIT_DATA, EXIT_FILES = 1, 65, 74
_CPU_OUT_OF_MEMORY = ("DefaultCPUAllocator", "can't allocate memory")


@dataclass(frozen=True)
class Ending:
    """The one state that a run ends in, and what the process says of it."""

    state: State
    reason: str | None = None
    step: int | None = None
    exit_code: int = 0


def unchosen(choice: Choice | None) -> Ending | None:
    """The ending of a run whose tuning chose nothing: the one that most of its trials had."""
    if choice is None or choice.chosen is not None:
        return None
    states = Counter(trial.state for trial in choice.trials)
    counts = ", ".join(f"{n} {state}" for state, n in states.most_common())
    return Ending(states.most_common(1)[0][0], f"no trial of its tuning has a score: {counts}")


def conclude(action: Callable[[], None]) -> Ending:
    """Run the action and name its ending. Running out of memory and diverging are results."""
    try:
        action()
    except DivergedError as error:
        return Ending("diverged", str(error), error.step)
    except UndefinedScoreError as error:
        return Ending("diverged", str(error))
    except Exception as error:
        if _is_out_of_memory(error):
            return Ending("oom", f"{type(error).__name__}: {error}".splitlines()[0])
        logging.exception("the run failed")
        return Ending("failed", f"{type(error).__name__}: {error}", exit_code=_exit_code(error))
    return Ending("ok")


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(t in str(error) for t in _CPU_OUT_OF_MEMORY)


def _exit_code(error: Exception) -> int:
    if isinstance(error, CorruptedFileError):
        return EXIT_DATA
    return EXIT_FILES if isinstance(error, OSError) else EXIT_FAILED


def write_result(result: Result, folder: Path) -> None:
    """Write the record last of all; a folder holds a result or a failure, never both."""
    failed = result.state == "failed"
    written, other = (FAILURE_FILE, RESULT_FILE) if failed else (RESULT_FILE, FAILURE_FILE)
    result.write(folder / written)
    (folder / other).unlink(missing_ok=True)
