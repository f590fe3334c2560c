"""The step of a training that takes most memory, as the probe and the prediction take it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch

from finegrid.training.batches import evaluation_batches, micro_batches, most_units
from finegrid.training.loop import Trainer


@dataclass
class Step:
    """The largest micro-batch of a training, or the share of it of each device, for the probe."""

    trainer: Trainer
    micro_batches: int = field(init=False)
    """Two where a step has several: in all but the first, the gradients are there already."""
    terms: int | None = field(init=False)
    """The most terms of the loss of an example, where targets are padded apart from inputs."""

    def __post_init__(self) -> None:
        sizes, training = self.trainer.train_split.sizes, self.trainer.training
        batch = evaluation_batches(sizes, training.batch_size)[0]
        self.micro_batches = min(2, len(micro_batches(batch, sizes, training)))
        self.device = self.trainer.device
        self._indices = most_units(sizes, training)
        self.shape = (len(self._indices), max(sizes[i] for i in self._indices))
        self.terms = None
        if self.trainer.output.is_apart:
            weights = self.trainer.train_split.weights
            self.terms = max(weights[index] for index in self._indices)

    def forward(self) -> torch.Tensor:
        """The summed loss with its graph, and what the method adds."""
        loss, steps = self.trainer.loss(self._indices), self.trainer.steps
        return loss + steps.penalty() if steps else loss

    def hold(self) -> list[torch.Tensor]:
        """What the method keeps from step to step, where it keeps most."""
        return self.trainer.steps.hold() if self.trainer.steps else []

    def strain(self) -> None:
        """What the method does after the optimizer's step, where that takes most."""
        if self.trainer.steps:
            self.trainer.steps.strain()

    def exchange(self, number: int) -> AbstractContextManager[None]:
        """What a group's processes do with the gradients of that micro-batch, counted from 1."""
        is_last = number == self.micro_batches
        return self.trainer.group.exchange(self.trainer.network, is_last=is_last)

    def evaluate(self) -> None:
        """A forward pass of the largest evaluation batch, without a graph."""
        split, training = self.trainer.splits["validation"], self.trainer.training
        batch = evaluation_batches(split.sizes, training.evaluation_batch_size)[0]
        whole = split.batch(batch).to(self.device)
        self.trainer.model.eval()
        enabled = training.dtype == "bf16"
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            self.trainer.output.forward(self.trainer.model, whole)
