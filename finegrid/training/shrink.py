"""Memory that runs out in a training step, and the smaller micro-batches that may still fit."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from finegrid.records.training import Training

_CPU_OUT_OF_MEMORY = ("DefaultCPUAllocator", "can't allocate memory")


class StepMemoryError(Exception):
    """Memory ran out in an optimizer step, where smaller micro-batches need less."""

    def __init__(self, step: int, error: Exception) -> None:
        super().__init__(one_line(error))
        self.step = step


def one_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on whichever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(t in str(error) for t in _CPU_OUT_OF_MEMORY)


@contextmanager
def memory_of_step(number: int) -> Iterator[None]:
    """Raise StepMemoryError where memory runs out in the block, which is that step."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise StepMemoryError(number, error) from error
        raise


def with_smaller_micro_batches(training: Training, longest: int) -> Training | None:
    """The training in micro-batches of at most half the size; None where there are none.

    Examples: the most that divide the batch, and that the run's devices share evenly. Units: half
    of them, as long as they hold the longest example that may be.
    """
    if training.micro_batch_units is not None:
        units = training.micro_batch_units // 2
        fits = units >= longest
        return training.model_copy(update={"micro_batch_units": units}) if fits else None
    size = training.micro_batch_size or training.batch_size
    shared = range(size // 2 // training.devices * training.devices, 0, -training.devices)
    size = next((n for n in shared if training.batch_size % n == 0), 0)
    return training.model_copy(update={"micro_batch_size": size}) if size else None


def free_memory() -> None:
    """Give back what nothing refers to any more, on the device too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
