"""What inputs are made of and made into: whole files, columns, batches, and rows at fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

PIECE = "piece"
"""What stands beside an example that is a piece of a text: its number in it, from 0."""
Facts = Mapping[str, float]
"""What is known of a whole file, such as how long a recording lasts."""


@dataclass(frozen=True)
class Examined:
    """A whole file that was read to its end."""

    problem: str | None = None
    """Why no example can be made of it; None where one can."""
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Examples as tensors, their first dimension the batch."""

    inputs: dict[str, torch.Tensor]
    """What the model is called with, by keyword."""
    targets: dict[str, torch.Tensor]
    """What the loss compares with."""

    def to(self, device: torch.device) -> Batch:
        """The batch on the device."""
        inputs, targets = (
            {name: tensor.to(device) for name, tensor in part.items()}
            for part in (self.inputs, self.targets)
        )
        return Batch(inputs, targets)


class Composed(NamedTuple):
    """A column of a table that several of a kind's are made of."""

    parts: tuple[str, ...]
    make: Callable[[Any], tuple[str, ...]] | None = None
    """The parts of a value. Raises ValueError where they cannot be made of it.

    None: the kind's own `row` makes them.
    """
    beside: tuple[str, ...] = ()
    """Columns that the parts are made of too."""
    optional: tuple[str, ...] = ()
    """Those of them that a task may lack."""
    held: Callable[[Any], set[str]] | None = None
    """What a row may be left out for by a value, where that is more than its texts."""
    allowed: str = "text"
    """What a value has to be."""


class RowError(ValueError):
    """A row of a user's file that a kind can make nothing of, and the column that is at fault."""

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(problem)
        self.column = column


class SettingError(ValueError):
    """A field of a kind that does not go with the rows of a task, by its name."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key
