"""How a run ends, and its record."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from records.result import FAILURE_FILE, RESULT_FILE, Choice, Result, State
from training.evaluation import UndefinedScoreError
from training.exits import EXIT_DATA, EXIT_FAILED, EXIT_FILES
from training.loop import DivergedError
from training.models import CorruptedFileError
from training.shrink import StepMemoryError, is_out_of_memory, one_line
from training.signals import PreemptedError


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
    """Run the action and name its ending. Running out of memory and diverging are results.

    Raises PreemptedError: a run that was preempted has not ended.
    """
    try:
        action()
    except PreemptedError:
        raise
    except DivergedError as error:
        return Ending("diverged", str(error), error.step)
    except UndefinedScoreError as error:
        return Ending("diverged", str(error))
    except StepMemoryError as error:
        return Ending("oom", str(error), error.step)
    except Exception as error:
        if is_out_of_memory(error):
            return Ending("oom", one_line(error))
        logging.exception("the run failed")
        return Ending("failed", f"{type(error).__name__}: {error}", exit_code=_exit_code(error))
    return Ending("ok")


def _exit_code(error: Exception) -> int:
    if isinstance(error, CorruptedFileError):
        return EXIT_DATA
    return EXIT_FILES if isinstance(error, OSError) else EXIT_FAILED


def write_result(result: Result, folder: Path) -> None:
    """Write the record, sealed, last of all; a folder holds a result or a failure, never both."""
    failed = result.state == "failed"
    written, other = (FAILURE_FILE, RESULT_FILE) if failed else (RESULT_FILE, FAILURE_FILE)
    result.sealed().write(folder / written)
    (folder / other).unlink(missing_ok=True)
