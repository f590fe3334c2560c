"""Memory and latency of a trained run: measured by one run of its cell, and taken by the others."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from finegrid.records.costs import Costs, Inference
from finegrid.records.specification import Specification
from finegrid.training.loop import Trainer
from finegrid.training.measure.cell import CellCosts
from finegrid.training.measure.inference import measure_inference
from finegrid.training.measure.memory import METERED, probe_memory
from finegrid.training.measure.prediction import NOTHING_TRAINED, with_prediction
from finegrid.training.measure.step import Step
from finegrid.training.measure.traces import Traces
from finegrid.training.record import Reached
from finegrid.training.shrink import is_out_of_memory, one_line
from methods.contract import Method
from methods.parameters import load_trainable


@dataclass(frozen=True)
class Subject:
    """A trained model, and what it takes to measure it."""

    spec: Specification
    trainer: Trainer
    optimizer: torch.optim.Optimizer
    kept_state: Mapping[str, torch.Tensor]
    """The trained tensors that were scored."""
    method: Method
    peak_load_bytes: int
    drawn_modules: tuple[str, ...]
    prepared: Path
    load_base: Callable[[], nn.Module]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.trainer.device


def measured(
    subject: Subject,
    cell: CellCosts | None,
    between: Callable[[], None],
    store: Callable[[], Reached],
) -> Iterator[Reached]:
    """What the run's cell costs. The model is stored before it is merged.

    `between` is called where the run may be interrupted. Without `cell`, the run measures for
    itself alone.
    """
    group = subject.trainer.group
    turn: AbstractContextManager[Costs | None]
    turn = nullcontext() if cell is None else cell.turn(group, between)
    with turn as known:
        costs = measure_memory(subject) if known is None else _taken(known, cell)
        yield costs
        between()  # what is left takes moments
        yield store()
        if known is None and group.is_first:
            costs |= {"inference": time_inference(subject)}
            yield costs
            if cell is not None:
                cell.keep(costs.get("memory"), costs.get("memory_reason"), costs.get("inference"))


def _taken(known: Costs, cell: CellCosts | None) -> Reached:
    """What a run of the cell has measured: another one, or this one in an earlier attempt."""
    found: Reached = {"inference": known.inference}
    if known.memory is not None:
        found["memory"] = known.memory
    elif known.memory_reason is not None:
        found["memory_reason"] = known.memory_reason
    if cell is not None and known.run != cell.run:
        found["costs_of"] = known.run
    return found


def measure_memory(subject: Subject) -> Reached:
    """Measure memory with the method as it was trained; the kept state is put back."""
    if not subject.method.trains:
        return {"memory_reason": NOTHING_TRAINED}
    trainer, device = subject.trainer, subject.device
    if device.type not in METERED:
        return {"memory_reason": f"memory is not measured on {device.type}"}
    found = probe_memory(trainer.model, Step(trainer), subject.optimizer, subject.peak_load_bytes)
    if trainer.group.is_first:
        found = with_prediction(
            found, subject.spec, Traces(subject.prepared), subject.drawn_modules
        )
    load_trainable(trainer.model, subject.kept_state)
    return {"memory": found}


def time_inference(subject: Subject) -> Inference | None:
    """Latency of the trained model beside that of the base model.

    None for a model that is divided among devices: no process holds it.
    """
    training = subject.spec.training
    if training.strategy == "fsdp":
        return None
    base, reason = _plain_base(subject)
    found = measure_inference(
        subject.trainer.model,
        base,
        subject.method,
        subject.trainer.splits["validation"],
        training.evaluation_batch_size,
        subject.device,
        training.dtype,
    )
    return found.model_copy(update={"base_reason": reason})


def _plain_base(subject: Subject) -> tuple[nn.Module | None, str | None]:
    """The base model as it was before the method, or why it is not there: a second model."""
    try:
        return subject.load_base().to(subject.device), None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None, f"it does not fit beside the model: {one_line(error)}"
