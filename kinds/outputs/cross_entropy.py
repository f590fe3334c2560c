"""What outputs share that are learnt by a cross-entropy, whose targets may be smoothed."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from kinds.contract import Batch, Output

if TYPE_CHECKING:
    import torch
    from torch import nn


class CrossEntropy(Output):
    """An output that is learnt by the cross-entropy of classes, such as the tokens of a text.

    With a smoothing s the target of K classes is 1 - s + s / K for the true one and s / K for every
    other (Szegedy et al. 2016, arXiv:1512.00567, section 7), as in torch's own `cross_entropy`.
    """

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The loss of targets as they are, summed over all terms of the batch."""
        return self.smoothed_loss(model, batch, 0.0)

    @abstractmethod
    def smoothed_loss(self, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
        """The loss () of smoothed targets, summed over all terms of the batch, in fp32."""


def training_loss(output: Output, model: nn.Module, batch: Batch, smoothing: float) -> torch.Tensor:
    """The loss () that training takes the gradient of, summed over all terms of the batch.

    Raises ValueError for a smoothing of what is learnt by another loss.
    """
    if not smoothing:
        return output.loss(model, batch)
    if not isinstance(output, CrossEntropy):
        kind = type(output).__name__
        raise ValueError(
            f"label_smoothing: {smoothing} of {kind}, which is learnt by no cross-entropy; "
            "allowed: 0"
        )
    return output.smoothed_loss(model, batch, smoothing)


def summed(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropy () of logits (examples, classes) and labels (examples,), summed."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)


def summed_of_present(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The summed cross-entropy () of examples that lack some of the classes.

    A class that an example lacks has a logit of minus infinity, and no part of a smoothed target.
    """
    if not smoothing:
        return summed(logits, labels, smoothing)
    present = ~logits.isneginf()
    likelihoods = logits.log_softmax(dim=1)
    uniform = likelihoods.masked_fill(~present, 0).sum(dim=1) / present.sum(dim=1)
    true = likelihoods.gather(1, labels[:, None])[:, 0]
    return -((1 - smoothing) * true + smoothing * uniform).sum()
