"""Memory of a training step, by phase and by category, in a probe apart from timing."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from finegrid.records.costs import Memory
from finegrid.training.processes.distributed import Group, local

_PHASE = "finegrid phase "


METERED = ("cpu", "cuda")
"""Types of devices that the meter can read."""


class PeakMeter:
    """Counts what a block allocates on the device; afterwards `peak` and `change` in bytes.

    On the CPU the allocator's own events, exact to the byte, except that it does not see the block
    free what was allocated before; on CUDA the caching allocator's counters, which round each
    tensor up to 512 bytes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.peak = self.change = 0
        self.peaks: dict[str, int] = {}
        """The peak of each phase, above what was live when the block began. A phase that comes
        more than once has one peak, the largest."""
        self.starts: dict[str, int] = {}
        """What lives when a phase begins, above what did when the block began; of several, the
        last."""

    @property
    def instrument(self) -> str:
        """The name under which a record says how memory was read."""
        return "cuda-max-allocated" if self._device.type == "cuda" else "cpu-allocator-events"

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A part of the block with a peak of its own, what lives from earlier parts included."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            self.peak = max(self.peak, self._cuda_peak())
            torch.cuda.reset_peak_memory_stats(self._device)
            self.starts[name] = torch.cuda.memory_allocated(self._device) - self._start
            yield
            torch.cuda.synchronize(self._device)
            self.peaks[name] = max(self.peaks.get(name, 0), self._cuda_peak())
        else:
            with torch.profiler.record_function(_PHASE + name):
                yield

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._start = torch.cuda.memory_allocated(self._device)
        else:
            profiler: Any = torch.autograd.profiler.profile
            self._profile = profiler(profile_memory=True)
            self._profile.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            self.peak = max(self.peak, self._cuda_peak())
            self.change = torch.cuda.memory_allocated(self._device) - self._start
        else:
            self._profile.__exit__(kind, error, trace)
            self._add_up_events()

    def _cuda_peak(self) -> int:
        return torch.cuda.max_memory_allocated(self._device) - self._start

    def _add_up_events(self) -> None:
        events = self._profile.kineto_results.events()
        moments = sorted((e.start_ns(), e.name(), e.nbytes()) for e in events if _counts(e.name()))
        phase = ""
        for _, name, size in moments:
            if name.startswith(_PHASE):
                phase = name.removeprefix(_PHASE)
                self.starts[phase] = self.change
            else:
                self.change += size
            self.peak = max(self.peak, self.change)
            self.peaks[phase] = max(self.peaks.get(phase, self.change), self.change)


def _counts(event: str) -> bool:
    return event == "[memory]" or event.startswith(_PHASE)


def tensor_bytes(tensors: Any) -> int:
    """Bytes of the distinct storages behind tensors; of one that is divided, its part here."""
    storages = [local(tensor).untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def optimizer_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of an optimizer's state tensors."""
    return tensor_bytes(
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )


def probe_memory(
    model: nn.Module, step: Any, optimizer: torch.optim.Optimizer, peak_load_bytes: int
) -> Memory:
    """Measure one optimizer step and one evaluation of `step`, a `Step` of this room.

    The optimizer's state exists already and gradients do not, as at the start of every step but
    the first; what the processes of a group exchange gradients in is counted with those. The
    trained tensors are changed by that step. Of a group's devices, the largest figures.
    """
    optimizer.zero_grad(set_to_none=True)
    weights = tensor_bytes([*model.parameters(), *model.buffers()])
    kept = step.hold()  # as long as the probe runs
    state = optimizer_bytes(optimizer) + tensor_bytes(kept)
    exchange = step.trainer.exchange_bytes()
    step.trainer.enter_training()
    # One meter for all phases: a second would not see what the backward pass frees.
    with PeakMeter(step.device) as meter:
        accumulated = _pass(model, step, meter)
        gradients = _gradient_bytes(model)
        with meter.phase("step"):
            optimizer.step()
            step.strain()
        optimizer.zero_grad(set_to_none=True)
        with meter.phase("evaluate"):
            step.evaluate()
    peaks = {name: weights + state + exchange + peak for name, peak in meter.peaks.items()}
    passes = max(peaks["forward"], peaks["backward"])
    found = Memory(
        instrument=meter.instrument,  # type: ignore[arg-type]  # one of the two literals
        weights_bytes=weights,
        gradients_bytes=gradients,
        optimizer_bytes=state,
        activations_bytes=max(0, meter.starts["backward"] - accumulated),
        peak_load_bytes=peak_load_bytes,
        peak_forward_bytes=peaks["forward"],
        peak_backward_bytes=peaks["backward"],
        peak_step_bytes=peaks["step"],
        peak_evaluate_bytes=peaks["evaluate"],
        peak_training_bytes=max(passes, peaks["step"]),
        batch=step.shape,
        terms=step.terms,
    )
    return _largest(found, step.trainer.group)


def _pass(model: nn.Module, step: Any, meter: PeakMeter) -> int:
    """Forward and backward passes of the step's micro-batches, between which no gradient goes.

    Returns the bytes of the gradients that are alive in the last forward pass.
    """
    accumulated = 0
    for number in range(1, step.micro_batches + 1):
        accumulated = _gradient_bytes(model)
        with step.exchange(number):
            with meter.phase("forward"):
                loss = step.forward()
            with meter.phase("backward"):
                loss.backward()
    return accumulated


def _gradient_bytes(model: nn.Module) -> int:
    return tensor_bytes(p.grad for p in model.parameters() if p.grad is not None)


def _largest(memory: Memory, group: Group) -> Memory:
    """The largest figure of the group's devices, each for itself."""
    figures = memory.model_dump(exclude={"instrument", "batch"}, exclude_none=True)
    largest = group.largest(list(figures.values()))
    return memory.model_copy(update=dict(zip(figures, largest, strict=True)))
