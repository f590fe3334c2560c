"""The processes that train one run together, each on a device of its own.

Each holds its share of every micro-batch. The gradient is the mean over the whole batch: by
distributed data parallelism every device holds the model (Li et al. 2020, arXiv:2006.15704), or
parameters, gradients and the optimizer's state are divided among them (Rajbhandari et al. 2020,
arXiv:1910.02054, stage 3; torch's `fully_shard`).
"""

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from finegrid.records.training import Training
from finegrid.training.processes.sharding import shard
from methods.parameters import is_sharded, whole

_LONGEST_WAIT = timedelta(hours=6)
"""Of a process for another, which may load a large model. The end of one is noticed at once."""


class LeftAloneError(Exception):
    """Another process of the run has ended alone, and says why."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, as one of them sees them. Every method is called by all of them."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes down the run."""
        return self.rank == 0

    def share(self, examples: Sequence[int]) -> tuple[list[int], int]:
        """This process's examples, and the factor of their sum in a mean over the processes.

        That mean is the sum over all examples. A process for which there is none repeats one, with
        factor 0: a backward pass is everybody's.
        """
        own = list(examples[self.rank :: self.size])
        return (own, self.size) if own else (list(examples[:1]), 0)

    def spread(self, model: nn.Module, training: Training) -> nn.Module:
        """The model as the processes train it together: itself, wrapped, or sharded in place."""
        if self.size == 1 or not any(p.requires_grad for p in model.parameters()):
            return model
        if training.strategy == "fsdp":
            self.meet()
            mesh = init_device_mesh(training.device, (self.size,))
            return shard(model, mesh, self.gathered)
        # Where a step leaves a parameter out, the others' exchange must not wait for it.
        return DistributedDataParallel(
            model, find_unused_parameters=True, gradient_as_bucket_view=True
        )

    @contextmanager
    def exchange(self, network: nn.Module, *, is_last: bool) -> Iterator[None]:
        """The forward and backward pass of a micro-batch. Gradients are exchanged by the last.

        Those that are sharded are exchanged by each, for no process has room for whole ones.
        """
        waits = isinstance(network, DistributedDataParallel) and not is_last
        with network.no_sync() if waits else nullcontext():  # type: ignore[operator]
            yield

    def meet(self) -> None:
        """Wait until all processes are here. Raises LeftAloneError where one ends instead."""
        try:
            self.largest([0])
        except RuntimeError as error:  # how the library says that a connection has ended
            raise LeftAloneError("another process of the run has ended") from error

    def mean(self, value: float) -> float:
        """The mean of the processes' values."""
        if self.size == 1:
            return value
        return float(self.total(torch.tensor(value, dtype=torch.float64))) / self.size

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of the processes' tensors, which lie on the host."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def gathered(self, value: Any) -> list[Any]:
        """The processes' values, by rank, as JSON holds them."""
        if self.size == 1:
            return [value]
        own = json.dumps(value).encode()
        (length,) = self.largest([len(own)])
        text = torch.frombuffer(bytearray(own.ljust(length)), dtype=torch.uint8)
        return [json.loads(bytes(row.tolist())) for row in self.stacked(text)]

    def largest(self, values: Sequence[int]) -> list[int]:
        """The largest of the processes' values, place by place."""
        if self.size == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.int64)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return found.tolist()

    def any(self, value: bool) -> bool:  # it is the value, no option
        """Whether it is true for one of the processes."""
        return self.largest([int(value)]) == [1]

    def agrees(self, value: int) -> bool:
        """Whether the value is the same in all processes."""
        most, least = self.largest([value, -value])
        return most == -least

    def agreed(self, name: str | None) -> str | None:
        """The signal that one of the processes has received, if there is one."""
        if self.size == 1:
            return name
        (number,) = self.largest([signal.Signals[name] if name else 0])
        return signal.Signals(number).name if number else None

    def stacked(self, tensor: torch.Tensor) -> torch.Tensor:
        """The processes' tensors, in one with a first dimension more where they are several."""
        if self.size == 1:
            return tensor
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(found, tensor)
        return torch.stack(found)

    def own(self, tensor: torch.Tensor) -> torch.Tensor:
        """This process's part of what was stacked."""
        return tensor if self.size == 1 else tensor[self.rank]

    def whole(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The tensors in one piece. The first process alone gets those that are sharded."""
        found: dict[str, torch.Tensor] = {}
        for name, tensor in tensors.items():
            if not is_sharded(tensor):
                found[name] = tensor
            elif self.is_first:
                found[name] = whole(tensor).cpu()
            else:
                whole(tensor)
        return found


ALONE = Group()


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the group that torchrun's environment describes.

    It is left where the block ends well; after an error another process may wait for this one.
    """
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
    yield Group(distributed.get_rank(), distributed.get_world_size())
    distributed.destroy_process_group()


def local(tensor: Any) -> torch.Tensor:
    """The part of the tensor that this process holds."""
    found: torch.Tensor = tensor.to_local() if is_sharded(tensor) else tensor
    return found


def sharded_like(tensor: torch.Tensor, other: Any) -> torch.Tensor:
    """A whole tensor, or this process's shard of it where the other is sharded."""
    if not is_sharded(other):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    on_device = tensor.to(other.device)
    # Every process has all of it: nothing is sent.
    mesh, placements = other.device_mesh, other.placements
    shard_of_it = distribute_tensor(on_device, mesh, placements, src_data_rank=None)
    return shard_of_it.clone()  # which is a view: the whole tensor would stay on the device
