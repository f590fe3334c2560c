"""Labels of tokens, some of which have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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


def next_tokens(example: Mapping[str, Any]) -> list[int]:
    """At each place of a decoder's sequence the token after it, where that is none of the prompt.

    The last place has no label.
    """
    ids, prompt = example["input_ids"], int(example["prompt"])
    return [LEFT_OUT] * (prompt - 1) + [int(one) for one in ids[prompt:]] + [LEFT_OUT]


def learnt(labels: Sequence[int]) -> int:
    """How many places have a label."""
    import numpy as np

    return int((np.asarray(labels) != LEFT_OUT).sum())


def summed_loss(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy () of logits (batch, tokens, vocabulary) in fp32, summed over the labels.

    Targets are smoothed over the whole vocabulary; a place without a label has no target.
    """
    from torch.nn.functional import cross_entropy

    return cross_entropy(
        logits.flatten(0, 1),
        labels.flatten(),
        reduction="sum",
        ignore_index=LEFT_OUT,
        label_smoothing=smoothing,
    )


def log_likelihoods(logits: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """The log-likelihood of the labels of each sequence, in nats, by logits as above."""
    from torch.nn.functional import cross_entropy

    # along another dimension than the last one the library loses digits of a large vocabulary
    losses = cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=LEFT_OUT
    )
    found: list[float] = (-losses.view(labels.shape).double().sum(dim=1)).cpu().tolist()
    return found
