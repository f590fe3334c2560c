"""Checkpoints that say which save they are from."""

import torch

from training.checkpoint import Identity, Past
from training.state import Tensors, TrainerState

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
        micro_batch_size=None,
        setup_seconds=0.0,
        resumed_at_steps=(),
        history=tuple({"step": step} for step in range(1, number + 1)),
        trainer=STATE,
    )
