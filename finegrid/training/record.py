"""What the stages of a run reach, how the run ends, and its record."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from pydantic import JsonValue

from finegrid.records.costs import Inference, Memory, Time
from finegrid.records.damage import CorruptedFileError, set_aside
from finegrid.records.result import (
    FAILURE_FILE,
    RESULT_FILE,
    Choice,
    Gradients,
    Losses,
    Metrics,
    Parameters,
    Provenance,
    Result,
    State,
)
from finegrid.records.specification import Specification
from finegrid.training.evaluation import UndefinedScoreError
from finegrid.training.loop import DivergedError
from finegrid.training.processes.distributed import LeftAloneError
from finegrid.training.processes.exits import EXIT_DATA, EXIT_FAILED, EXIT_FILES
from finegrid.training.processes.signals import PreemptedError
from finegrid.training.shrink import StepMemoryError, is_out_of_memory, one_line

_NOT_MEASURED = "the run ended before memory was measured"


class Reached(TypedDict, total=False):
    """What the stages of a run have reached: parts of its record."""

    data_sha256: str
    model_sha256: str
    drawn_modules: tuple[str, ...]
    stripped: tuple[str, ...]
    dequantised: str | None
    task_remarks: tuple[str, ...]
    encoded_by: dict[str, str]
    """Package -> the version that encoded the data."""
    derived: dict[str, JsonValue]
    losses: Losses | None
    gradients: Gradients | None
    resumed_at_steps: tuple[int, ...]
    metrics: Metrics
    time: Time
    memory: Memory | None
    memory_reason: str | None
    parameters: Parameters
    inference: Inference | None
    costs_of: str
    """The run that measured memory and inference, where it is another one of the cell."""
    files: dict[str, str]
    """Written file -> its hash."""


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
    """Run the action and name its ending.

    Running out of memory, diverging and predicting what has no score are results.

    Raises PreemptedError: a run that was preempted has not ended.
    """
    try:
        action()
    except PreemptedError:
        raise
    except LeftAloneError as error:
        return Ending("failed", str(error), exit_code=EXIT_FAILED)
    except DivergedError as error:
        return Ending("diverged", str(error), error.step)
    except UndefinedScoreError as error:
        return Ending("undefined", str(error))
    except StepMemoryError as error:
        return Ending("oom", str(error), error.step)
    except CorruptedFileError as error:
        reason = f"CorruptedFileError: {error}; {set_aside(error.folder)}"
        return Ending("failed", reason, exit_code=EXIT_DATA)
    except Exception as error:
        if is_out_of_memory(error):
            return Ending("oom", one_line(error))
        logging.exception("the run failed")
        code = EXIT_FILES if isinstance(error, OSError) else EXIT_FAILED
        return Ending("failed", f"{type(error).__name__}: {error}", exit_code=code)
    return Ending("ok")


def record(
    reached: Reached,
    planned: Specification,
    choice: Choice | None,
    ending: Ending,
    origin: Provenance,
) -> Result:
    """The record of a planned run: what was reached, and how it ended."""
    read = {
        "data_sha256": reached.get("data_sha256"),
        "model_sha256": reached.get("model_sha256"),
        "drawn_modules": reached.get("drawn_modules", ()),
        "stripped": reached.get("stripped", ()),
        "dequantised": reached.get("dequantised"),
        "task_remarks": reached.get("task_remarks", ()),
        "packages": _packages(origin.packages, reached.get("encoded_by", {})),
    }
    memory = reached.get("memory")
    return Result(
        run=planned.run,
        spec=planned,
        state=ending.state,
        reason=ending.reason,
        failed_step=ending.step,
        tuning=choice,
        metrics=reached.get("metrics"),
        parameters=reached.get("parameters"),
        memory=memory,
        memory_reason=None if memory else reached.get("memory_reason", _NOT_MEASURED),
        time=reached.get("time"),
        inference=reached.get("inference"),
        costs_of=reached.get("costs_of"),
        derived=reached.get("derived", {}),
        losses=reached.get("losses"),
        gradients=reached.get("gradients"),
        resumed_at_steps=reached.get("resumed_at_steps", ()),
        files=reached.get("files", {}),
        provenance=origin.model_copy(update=read),
    )


def _packages(installed: Mapping[str, str], encoded_by: Mapping[str, str]) -> dict[str, str]:
    """The versions that the run used; where another one encoded its data, both."""
    other = {name: one for name, one in encoded_by.items() if installed.get(name) != one}
    return {**installed} | {
        name: f"{installed.get(name)}, encoded by {one}" for name, one in other.items()
    }


def write_result(result: Result, folder: Path) -> None:
    """Write the record, sealed, last of all; a folder holds a result or a failure, never both."""
    failed = result.state == "failed"
    written, other = (FAILURE_FILE, RESULT_FILE) if failed else (RESULT_FILE, FAILURE_FILE)
    result.sealed().write(folder / written)
    (folder / other).unlink(missing_ok=True)
