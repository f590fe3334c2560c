"""Labels of tokens, some of which have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LEFT_OUT = -100
"""The label of a place at which nothing is learnt, as the library has it."""


def padded(labels: Sequence[Sequence[int]]) -> torch.Tensor:
    """Labels (batch, tokens), padded on the right with what is not learnt."""
    import numpy as np
    import torch

    lengths = np.array([len(one) for one in labels])
    found = np.empty((len(labels), lengths.max()), dtype=np.int64)
    found.fill(LEFT_OUT)
    found[np.arange(lengths.max()) < lengths[:, None]] = np.concatenate(labels)
    return torch.from_numpy(found)
