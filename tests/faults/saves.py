"""Checkpoints that say which save they are from, and a process that saves them."""

import ctypes
import time
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from finegrid.records import result as module
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.training import Training
from finegrid.training.record import write_result
from finegrid.training.state.checkpoint import Checkpoints, Identity, Past
from finegrid.training.state.snapshot import Tensors, TrainerState

Saved = tuple[int, dict[int, float]]
NOTHING, CHECKPOINT, RESULT = range(3)
"""What a process is inside of the save of."""
REFERENCE = Path(module.__file__).parents[2] / "results" / "reference" / "runs"

IDENTITY = Identity(
    run="saved",
    specification="a" * 64,
    source_digest="b" * 64,
    packages={},
    python="3",
    device="cpu",
    processor="any",
    accelerator=None,
    threads=1,
)
STATE = TrainerState(
    evaluated=0,
    evaluate_seconds=0.0,
    learning_rates=(0.1,),
    schedule={},
    best=None,
    python_generator=(3, (0,), None),
    numpy_generator=None,
)


def tensors(number: int) -> Tensors:
    """A megabyte that says which save it is from."""
    return {str(part): torch.full((2**16,), float(number)) for part in range(4)}


def past(number: int) -> Past:
    """A history of that many steps."""
    return Past(
        training=Training(learning_rate=0.1, epochs=1, batch_size=1),
        setup_seconds=0.0,
        resumed_at_steps=(),
        history=tuple({"step": step} for step in range(1, number + 1)),
        trainer=STATE,
    )


def save_on_and_on(
    run_folder: Path, begin: int, inside: ctypes.c_int, saved: "Connection[Saved, None]"
) -> None:
    """Save one state after the other, each as a checkpoint and a result.

    `inside`, in memory that outlives this process, is kept at what is being saved. After each state
    its number is sent, with the seconds that each save took.
    """
    checkpoints = Checkpoints(run_folder, IDENTITY)
    result = Result.read(min(REFERENCE.glob(f"*/{RESULT_FILE}")))
    for number in count(begin):
        state, steps = tensors(number), past(number)
        outcome = result.model_copy(update={"failed_step": number})
        times = [time.perf_counter()]
        inside.value = CHECKPOINT
        checkpoints.save(state, steps)
        times.append(time.perf_counter())
        inside.value = RESULT
        write_result(outcome, run_folder)
        inside.value = NOTHING
        times.append(time.perf_counter())
        saved.send((number, {CHECKPOINT: times[1] - times[0], RESULT: times[2] - times[1]}))
