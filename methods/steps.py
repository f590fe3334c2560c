"""What a method does in every step of a training, beside what it learns from the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

if TYPE_CHECKING:
    import torch


class Steps(ABC):
    """What a method does in the steps of one training, and what it keeps from step to step.

    Steps are counted from 1. Of several processes that hold the whole model, each does it alike.
    """

    @property
    @abstractmethod
    def derived(self) -> dict[str, JsonValue]:
        """Settings that follow from the number of steps: they stand in the record of the run."""

    @abstractmethod
    def penalty(self) -> torch.Tensor:
        """What is added to the mean loss of a whole batch, with its graph."""

    @abstractmethod
    def after(self, number: int) -> None:
        """What is done after the optimizer's step, while the gradients are still there."""

    @abstractmethod
    def noted(self) -> dict[str, float]:
        """What the history has to say of the step that was taken, beside its loss."""

    @abstractmethod
    def is_candidate(self, number: int) -> bool:
        """Whether the state after that step is one that the method may end with."""

    @abstractmethod
    def state(self) -> dict[str, torch.Tensor]:
        """All that is kept from step to step, for a training that is taken up again."""

    @abstractmethod
    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put such a state back, in copies."""

    @abstractmethod
    def hold(self) -> list[torch.Tensor]:
        """Keep as much as is ever kept from step to step, without its values: a probe asks."""

    @abstractmethod
    def strain(self) -> None:
        """Do what takes most memory of all that `after` does: a probe asks."""
